// Settings of TLS: what a listener or a client wants, made into OpenSSL's contexts once and then only read, by all workers. A server
// has one context for each certificate, alike in everything else; the name a client asks for (SNI) chooses.
//
// What is left out on purpose: TLS below 1.2, compression, renegotiation, 0-RTT (a replayed POST would be paid twice), session
// caches (tickets do it without memory), RSA key exchange and CBC unless a list of ciphers asks for them.
#include "claw_secure.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char DEFAULT_CIPHERS[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// A client's chain of certificates in bytes; OpenSSL's own bound is 100 KiB for each connection.
enum { CLIENT_CHAIN_MAX = 32 << 10, VERIFY_DEPTH = 8 };

// ---- the library ---------------------------------------------------------------------------

static pthread_once_t library_once = PTHREAD_ONCE_INIT, kernel_once = PTHREAD_ONCE_INIT;
static char library_name[64];
static bool kernel_can;
static const char *kernel_why;

/// No clean-up at exit: workers may still be in the library when another thread ends the process.
static void library_begin(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
    snprintf(library_name, sizeof library_name, "OpenSSL %s", OpenSSL_version(OPENSSL_VERSION_STRING));
}

#if !defined(OPENSSL_NO_KTLS) && defined(SSL_OP_ENABLE_KTLS) && defined(TCP_ULP)
/// Only a connected TCP socket can be asked.
static int kernel_error(void) {
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ours = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;
    if (listener < 0 || ours < 0 || bind(listener, (struct sockaddr *)&at, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) != 0 || connect(ours, (struct sockaddr *)&at, size) != 0 ||
        setsockopt(ours, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") != 0)
        error = errno;
    if (listener >= 0) close(listener);
    if (ours >= 0) close(ours);
    return error;
}

static void kernel_ask(void) {
    int error = kernel_error();
    kernel_can = error == 0;
    kernel_why = error == 0 ? "kernel TLS is used where a listener asks for it and the cipher allows"
               : error == ENOENT ? "no kernel TLS: the kernel has no tls module loaded" : "no kernel TLS: the kernel refuses it";
}
#else
static void kernel_ask(void) { kernel_why = "no kernel TLS: OpenSSL was built without it"; }
#endif

bool claw_tls_kernel(const char **why) {
    pthread_once(&kernel_once, kernel_ask);
    if (why != NULL) *why = kernel_why;
    return kernel_can;
}

const char *claw_tls_library(const char **kernel) {
    pthread_once(&library_once, library_begin);
    if (kernel != NULL) claw_tls_kernel(kernel);
    return library_name;
}

// ---- what a server decides during a handshake -------------------------------------------------

static const uint8_t PROTOCOLS[] = "\x02h2\x08http/1.1";

static bool offers(const uint8_t *in, unsigned length, const uint8_t *wanted) {
    for (unsigned i = 0; i < length && in[i] < length - i; i += 1u + in[i])
        if (in[i] == wanted[0] && memcmp(in + i + 1, wanted + 1, wanted[0]) == 0) return true;
    return false;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in, unsigned length, void *of) {
    const claw_tls *tls = of;
    const uint8_t *chosen = NULL;
    if ((tls->alpn & CLAW_TLS_ALPN_H2) && offers(in, length, PROTOCOLS)) chosen = PROTOCOLS;
    else if ((tls->alpn & CLAW_TLS_ALPN_HTTP1) && offers(in, length, PROTOCOLS + 3)) chosen = PROTOCOLS + 3;
    if (chosen == NULL) {
        claw_secure *c = SSL_get_app_data(ssl);
        c->wrong_protocol = true;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen + 1;
    *out_length = chosen[0];
    return SSL_TLSEXT_ERR_OK;
}

/// Lower-case; false for what can't be a host's name (it is unknown then, and never logged).
static bool take_name(const char *from, char *into, size_t size) {
    size_t i = 0;
    for (; from[i] != 0; i++) {
        unsigned char byte = (unsigned char)from[i];
        if (i + 1 >= size || byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\') return false;
        into[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
    }
    if (i > 0 && into[i - 1] == '.') i--;
    into[i] = 0;
    return i > 0;
}

static int choose_pair(SSL *ssl, int *alert, void *of) {
    const claw_tls *tls = of;
    claw_secure *c = SSL_get_app_data(ssl);
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[256];
    int32_t pair = -1;
    bool sound = asked != NULL && take_name(asked, name, sizeof name);
    if (sound) pair = claw_tls_pair_for(tls, name);
    if (sound && c->server_name == NULL) c->server_name = strdup(name);
    if (pair < 0 && tls->strict_sni) {
        c->wrong_name = true;
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (pair > 0) SSL_set_SSL_CTX(ssl, tls->contexts[pair]);
    return asked != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

// ---- contexts ------------------------------------------------------------------------------

static SSL_CTX *context_create(bool server, uint32_t version_min, bool kernel) {
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (context == NULL) return NULL;
    SSL_CTX_set_min_proto_version(context, version_min == 13 ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(context, 0);
    SSL_CTX_set_security_level(context, 2);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION | SSL_OP_LEGACY_SERVER_CONNECT);
#if !defined(OPENSSL_NO_KTLS) && defined(SSL_OP_ENABLE_KTLS)
    if (kernel) SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
#endif
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                                  SSL_MODE_NO_AUTO_CHAIN);
    // Reading ahead takes a record's head and body, and what is behind it, with one call; the kernel's TLS has the records itself.
    SSL_CTX_set_read_ahead(context, kernel ? 0 : 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_verify_depth(context, VERIFY_DEPTH);
    SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_MAX);
    SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
    if (SSL_CTX_set_cipher_list(context, DEFAULT_CIPHERS) == 1) return context;
    SSL_CTX_free(context);
    return NULL;
}

static int32_t set_ciphers(SSL_CTX *context, const claw_tls_server_options *o, claw_problem problem) {
    if (o->ciphers != NULL && SSL_CTX_set_cipher_list(context, o->ciphers) != 1)
        return claw_problem_say(problem, EINVAL, "ciphers \"%s\": %s", o->ciphers, claw_openssl_reason());
    if (o->ciphers != NULL) SSL_CTX_set_dh_auto(context, 1);
    if (o->ciphersuites != NULL && SSL_CTX_set_ciphersuites(context, o->ciphersuites) != 1)
        return claw_problem_say(problem, EINVAL, "ciphersuites \"%s\": %s", o->ciphersuites, claw_openssl_reason());
    return 0;
}

/// A session is only taken where the same is asked of clients; resumption would else go round the check of their certificates.
static void set_session_identity(const claw_tls *tls, SSL_CTX *context, const uint8_t digest[32]) {
    uint8_t text[36] = "claw", identity[32];
    text[3] = (uint8_t)('0' + tls->client_verify);
    memcpy(text + 4, digest, 32);
    EVP_Digest(text, sizeof text, identity, NULL, EVP_sha256(), NULL);
    SSL_CTX_set_session_id_context(context, identity, sizeof identity);
}

static int32_t server_context(claw_tls *tls, const claw_tls_server_options *o, uint32_t index, claw_problem problem) {
    SSL_CTX *context = context_create(true, o->version_min, tls->kernel);
    if (context == NULL) return claw_problem_say(problem, ENOMEM, "OpenSSL makes no context: %s", claw_openssl_reason());
    tls->contexts[tls->count++] = context;
    int32_t result = set_ciphers(context, o, problem);
    if (result == 0) result = claw_tls_load_pair(tls, context, &o->pairs[index], index, problem);
    uint8_t digest[32] = { 0 };
    if (result == 0 && o->client_verify != CLAW_TLS_CLIENT_NONE) {
        result = claw_tls_load_authorities(context, o->client_ca, true, digest, problem);
        int mode = SSL_VERIFY_PEER | (o->client_verify == CLAW_TLS_CLIENT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
        SSL_CTX_set_verify(context, mode, NULL);
    }
    if (result != 0) return result;
    set_session_identity(tls, context, digest);
    if (tls->tickets != NULL) {
        claw_tls_tickets_use(context, claw_tls_tickets_period(tls->tickets));
    } else {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        SSL_CTX_set_num_tickets(context, 0);
    }
    if (tls->alpn != 0) SSL_CTX_set_alpn_select_cb(context, choose_protocol, tls);
    SSL_CTX_set_tlsext_servername_callback(context, choose_pair);
    SSL_CTX_set_tlsext_servername_arg(context, tls);
    return 0;
}

static int32_t check_server(const claw_tls_server_options *o, claw_problem problem) {
    if (o->pair_count == 0 || o->pairs == NULL) return claw_problem_say(problem, EINVAL, "a server needs a certificate");
    if (o->version_min != 12 && o->version_min != 13) return claw_problem_say(problem, EINVAL, "TLS 1.2 and 1.3 are served, not %u", o->version_min);
    if (o->client_verify > CLAW_TLS_CLIENT_REQUIRED || (o->client_verify == CLAW_TLS_CLIENT_NONE) != (o->client_ca == NULL))
        return claw_problem_say(problem, EINVAL, "authorities for clients' certificates are needed exactly when these are asked for");
    return 0;
}

int32_t claw_tls_server(const claw_tls_server_options *o, claw_tls **out, char *text, size_t text_size) {
    claw_problem problem = { .text = text, .size = text_size };
    *out = NULL;
    int32_t result = check_server(o, problem);
    if (result != 0) return result;
    pthread_once(&library_once, library_begin);
    ERR_clear_error();
    claw_tls *tls = calloc(1, sizeof *tls);
    if (tls != NULL) tls->contexts = calloc(o->pair_count, sizeof *tls->contexts);
    if (tls == NULL || tls->contexts == NULL) {
        free(tls);
        return claw_problem_say(problem, ENOMEM, "no memory");
    }
    *tls = (claw_tls){
        .references = 1, .server = true, .strict_sni = o->strict_sni != 0, .kernel = o->kernel_tls != 0 && claw_tls_kernel(NULL),
        .alpn = o->alpn, .client_verify = o->client_verify, .contexts = tls->contexts, .tickets = o->tickets,
    };
    if (tls->tickets != NULL) claw_tls_tickets_retain(tls->tickets);
    for (uint32_t i = 0; result == 0 && i < o->pair_count; i++) result = server_context(tls, o, i, problem);
    ERR_clear_error();
    if (result != 0) {
        claw_tls_release(tls);
        return result;
    }
    claw_tls_names_done(tls);
    *out = tls;
    return 0;
}

// ---- clients -------------------------------------------------------------------------------

/// Read now, so that no handshake reads files; OpenSSL's own default would look into its directory during one.
static int32_t load_system_authorities(SSL_CTX *context, claw_problem problem) {
    static const char *const places[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem" };
    if (getenv("SSL_CERT_FILE") == NULL && getenv("SSL_CERT_DIR") == NULL)
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            if (access(places[i], R_OK) == 0) return claw_tls_load_authorities(context, places[i], false, NULL, problem);
    if (SSL_CTX_set_default_verify_paths(context) == 1) return 0;
    return claw_problem_say(problem, ENOENT, "the system's certificate authorities: %s", claw_openssl_reason());
}

static int32_t client_context(claw_tls *tls, const claw_tls_client_options *o, claw_problem problem) {
    SSL_CTX *context = context_create(false, 12, tls->kernel);
    if (context == NULL) return claw_problem_say(problem, ENOMEM, "OpenSSL makes no context: %s", claw_openssl_reason());
    tls->contexts[tls->count++] = context;
    int32_t result = 0;
    if (o->insecure_skip_verify) SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    else {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        result = o->ca_file != NULL ? claw_tls_load_authorities(context, o->ca_file, false, NULL, problem) : load_system_authorities(context, problem);
    }
    claw_tls_pair pair = { .certificate = o->client_certificate, .key = o->client_key };
    if (result == 0 && (pair.certificate != NULL || pair.key != NULL)) result = claw_tls_load_pair(tls, context, &pair, 0, problem);
    if (result == 0 && (o->alpn & (CLAW_TLS_ALPN_H2 | CLAW_TLS_ALPN_HTTP1))) {
        const uint8_t *offered = o->alpn & CLAW_TLS_ALPN_H2 ? PROTOCOLS : PROTOCOLS + 3;
        unsigned length = (o->alpn & CLAW_TLS_ALPN_H2 ? 3u : 0u) + (o->alpn & CLAW_TLS_ALPN_HTTP1 ? 9u : 0u);
        // SSL_CTX_set_alpn_protos alone of all returns 0 for success.
        if (SSL_CTX_set_alpn_protos(context, offered, length) != 0) result = claw_problem_say(problem, ENOMEM, "no memory");
    }
    return result;
}

int32_t claw_tls_client(const claw_tls_client_options *o, claw_tls **out, char *text, size_t text_size) {
    claw_problem problem = { .text = text, .size = text_size };
    *out = NULL;
    pthread_once(&library_once, library_begin);
    ERR_clear_error();
    claw_tls *tls = calloc(1, sizeof *tls);
    if (tls != NULL) tls->contexts = calloc(1, sizeof *tls->contexts);
    if (tls == NULL || tls->contexts == NULL) {
        free(tls);
        return claw_problem_say(problem, ENOMEM, "no memory");
    }
    tls->references = 1;
    tls->kernel = o->kernel_tls != 0 && claw_tls_kernel(NULL);
    tls->alpn = o->alpn;
    int32_t result = client_context(tls, o, problem);
    ERR_clear_error();
    if (result != 0) claw_tls_release(tls);
    else *out = tls;
    return result;
}

void claw_tls_retain(claw_tls *tls) { __atomic_fetch_add(&tls->references, 1, __ATOMIC_RELAXED); }

void claw_tls_release(claw_tls *tls) {
    if (tls == NULL || __atomic_fetch_sub(&tls->references, 1, __ATOMIC_ACQ_REL) != 1) return;
    for (uint32_t i = 0; i < tls->count; i++) SSL_CTX_free(tls->contexts[i]);
    claw_tls_names_free(tls);
    claw_tls_tickets_release(tls->tickets);
    free(tls->contexts);
    free(tls);
}

int64_t claw_tls_expires(const claw_tls *tls) { return tls->expires; }
