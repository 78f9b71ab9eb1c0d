// What is known of a secure socket's peer, in text that can go into a log line or a header: bounded, and without a byte that could end
// either. A client certificate's names are its owner's choice, so everything that is not plain printable ASCII is escaped as \XX (the
// form of RFC 2253), and so are the comma and the backslash inside a SAN entry: an entry can't pretend to be two.
#include "claw_secure.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Of subject and of SAN text each; a longer list of names ends at the last that fits.
enum { FACT_TEXT_MAX = 4096 };

typedef struct text { char *bytes; size_t length; bool full; } text;

static void put(text *t, const char *bytes, size_t length) {
    if (t->full || length > FACT_TEXT_MAX - 1 - t->length) {
        t->full = true;
        return;
    }
    memcpy(t->bytes + t->length, bytes, length);
    t->length += length;
}

static void put_escaped(text *t, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        char escaped[4];
        bool plain = bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != ',' && bytes[i] != '\\' && bytes[i] != '"';
        if (plain) put(t, (const char *)&bytes[i], 1);
        else put(t, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\%02X", bytes[i]));
    }
}

static void put_address(text *t, const ASN1_OCTET_STRING *address) {
    char words[INET6_ADDRSTRLEN];
    int length = ASN1_STRING_length(address), family = length == 4 ? AF_INET : AF_INET6;
    if ((length == 4 || length == 16) && inet_ntop(family, ASN1_STRING_get0_data(address), words, sizeof words) != NULL)
        put(t, words, strlen(words));
}

/// One entry, or nothing of it: half a name is another name.
static void put_name(text *t, const GENERAL_NAME *name) {
    static const struct { int type; const char *prefix; } kinds[] = {
        { GEN_DNS, "DNS:" }, { GEN_URI, "URI:" }, { GEN_EMAIL, "email:" }, { GEN_IPADD, "IP:" } };
    size_t before = t->length;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].type != name->type) continue;
        if (before > 0) put(t, ",", 1);
        put(t, kinds[i].prefix, strlen(kinds[i].prefix));
        if (name->type == GEN_IPADD) put_address(t, name->d.iPAddress);
        else put_escaped(t, ASN1_STRING_get0_data(name->d.ia5), (size_t)ASN1_STRING_length(name->d.ia5));
    }
    if (t->full) t->length = before;
}

static char *names_of(const X509 *peer) {
    char bytes[FACT_TEXT_MAX];
    text t = { .bytes = bytes };
    GENERAL_NAMES *all = X509_get_ext_d2i(peer, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all) && !t.full; i++) put_name(&t, sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
    bytes[t.length] = 0;
    return t.length > 0 ? strdup(bytes) : NULL;
}

/// RFC 2253 as OpenSSL prints it: control and non-ASCII bytes come escaped. One that is too long is left out: a part of it could be
/// somebody else's whole.
static char *subject_of(const X509 *peer) {
    BIO *into = BIO_new(BIO_s_mem());
    char *bytes = NULL, *copy = NULL;
    if (into != NULL && X509_NAME_print_ex(into, X509_get_subject_name(peer), 0, XN_FLAG_RFC2253) >= 0) {
        long length = BIO_get_mem_data(into, &bytes);
        bool sound = length > 0 && length < FACT_TEXT_MAX;
        for (long i = 0; sound && i < length; i++) sound = (unsigned char)bytes[i] >= ' ' && (unsigned char)bytes[i] < 0x7f;
        if (sound) copy = strndup(bytes, (size_t)length);
    }
    BIO_free(into);
    return copy;
}

void claw_secure_facts_take(claw_secure *c) {
    if (c->facts_known || c->state != CLAW_SECURE_OPEN) return;
    c->facts_known = true;
    const X509 *peer = c->tls->server && SSL_get_verify_result(c->ssl) == X509_V_OK ? SSL_get0_peer_certificate(c->ssl) : NULL;
    if (peer == NULL) return;
    c->subject = subject_of(peer);
    c->names = names_of(peer);
    ERR_clear_error();
}

/// A resumed session is not verified again by OpenSSL; its certificate may have expired since.
int32_t claw_secure_check(claw_secure *c) {
    if (!c->tls->server || !SSL_session_reused(c->ssl)) return 0;
    const X509 *peer = SSL_get0_peer_certificate(c->ssl);
    if (peer == NULL || X509_cmp_current_time(X509_get0_notAfter(peer)) > 0) return 0;
    c->reason = X509_verify_cert_error_string(X509_V_ERR_CERT_HAS_EXPIRED);
    return CLAW_TLS_CERTIFICATE;
}

int32_t claw_secure_failure(claw_secure *c) {
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    const char *words = c->reason;
    int32_t result = CLAW_TLS_FAILED;
    // Through OpenSSL's own BIO it is OpenSSL that recognises HTTP.
    if (reason == SSL_R_HTTP_REQUEST) c->state = CLAW_SECURE_CLEAR;
    if (c->state == CLAW_SECURE_CLEAR) {
        words = "an HTTP request in clear text";
        result = CLAW_TLS_PLAIN_HTTP;
    } else if (c->wrong_name) {
        words = c->server_name != NULL ? "no certificate for the name asked for" : "no name asked for";
        result = CLAW_TLS_NAME;
    } else if (c->wrong_protocol || reason == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL) {
        words = "no application protocol in common";
        result = CLAW_TLS_PROTOCOL;
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        words = reason == SSL_R_CERTIFICATE_VERIFY_FAILED ? X509_verify_cert_error_string(SSL_get_verify_result(c->ssl)) : "no certificate was sent";
        result = CLAW_TLS_CERTIFICATE;
    } else if (code == 0 && words == NULL) {
        words = c->raw_error != 0 || c->write_error != 0 ? "the connection was reset" : "the peer closed the connection";
        result = CLAW_TLS_GONE;
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    } else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        words = "the peer closed the connection";
        result = CLAW_TLS_GONE;
#endif
    } else if (words == NULL) {
        words = ERR_reason_error_string(code);
        if (words == NULL) words = "an error without a name";
    }
    c->reason = words;
    ERR_clear_error();
    return result;
}

// ---- asked by the owner ----------------------------------------------------------------------

int32_t claw_secured(claw_loop *loop, int32_t fd, claw_tls_facts *facts) {
    const claw_socket *s = claw_stream_at(loop, fd);
    *facts = (claw_tls_facts){ 0 };
    if (s == NULL || !(s->flags & CLAW_SOCKET_SECURE)) return -ENOENT;
    claw_secure *c = claw_secure_at(loop, fd);
    facts->server_name = c->server_name;
    facts->reason = c->reason;
    if (c->state != CLAW_SECURE_OPEN) return 0;
    claw_secure_facts_take(c);
    const unsigned char *protocol = NULL;
    unsigned length = 0;
    SSL_get0_alpn_selected(c->ssl, &protocol, &length);
    facts->version = SSL_version(c->ssl) == TLS1_3_VERSION ? 13 : 12;
    facts->alpn = length == 2 ? CLAW_TLS_ALPN_H2 : length == 8 ? CLAW_TLS_ALPN_HTTP1 : 0;
    facts->resumed = SSL_session_reused(c->ssl) == 1;
    facts->cipher = SSL_get_cipher_name(c->ssl);
    facts->subject = c->subject;
    facts->names = c->names;
#ifndef OPENSSL_NO_KTLS
    facts->kernel = (BIO_get_ktls_send(SSL_get_wbio(c->ssl)) ? 1u : 0u) | (BIO_get_ktls_recv(SSL_get_rbio(c->ssl)) ? 2u : 0u);
#endif
    return 0;
}
