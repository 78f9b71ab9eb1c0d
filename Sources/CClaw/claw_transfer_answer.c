// What came back: the head, checked line by line before anything of it goes on, and how it ended.
//
// libcurl is lenient where a gateway must not be, so this looks again at each line: a status line of
// another shape, a folded line, a name that is no token, NUL or CR inside, a second Content-Length or one
// next to Transfer-Encoding, a transfer coding other than chunked, a switch of protocols nobody asked
// for, or more than 64 KiB make the answer malformed. Heads of status 1xx are skipped, trailers ignored.
#include "claw_transfer_inside.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_token(unsigned char c) {
    // RFC 9110 §5.6.2
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit((char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/// "HTTP/1.1 200 OK", "HTTP/2 200 ".
static bool status_line(transfer_head *head, const char *line, size_t length) {
    size_t digits;
    if (length >= 12 && memcmp(line, "HTTP/1.", 7) == 0 && is_digit(line[7]) && line[8] == ' ') {
        head->http_version = 11;
        digits = 9;
    } else if (length >= 10 && memcmp(line, "HTTP/2 ", 7) == 0) {
        head->http_version = 20;
        digits = 7;
    } else {
        return false;
    }
    if (!is_digit(line[digits]) || !is_digit(line[digits + 1]) || !is_digit(line[digits + 2])) return false;
    if (length > digits + 3 && line[digits + 3] != ' ') return false;
    if (memchr(line, 0, length) || memchr(line, '\r', length)) return false;
    head->status = (line[digits] - '0') * 100 + (line[digits + 1] - '0') * 10 + (line[digits + 2] - '0');
    if (head->status < 100 || head->status == 101) return false;
    head->stage = head->status < 200 ? HEAD_INTERIM : HEAD_FINAL;
    head->length = 0;
    head->has_length = head->has_encoding = false;
    return true;
}

static bool grow(transfer_head *head, uint32_t needed) {
    if (needed <= head->capacity) return true;
    uint32_t capacity = head->capacity ? head->capacity : 1024;
    while (capacity < needed) capacity *= 2;
    char *text = realloc(head->text, capacity);
    if (!text) return false;
    head->text = text;
    head->capacity = capacity;
    return true;
}

/// What frames the body is said once and in one way (RFC 9112 §6.3).
static bool framing_holds(transfer_head *head, const char *name, size_t name_length, const char *value, size_t length) {
    if (name_length == 14 && strncasecmp(name, "content-length", 14) == 0) {
        if (head->has_length || length == 0 || length > 18) return false;
        for (size_t i = 0; i < length; i++)
            if (!is_digit(value[i])) return false;
        head->has_length = true;
    } else if (name_length == 17 && strncasecmp(name, "transfer-encoding", 17) == 0) {
        if (head->has_encoding || length != 7 || strncasecmp(value, "chunked", 7) != 0) return false;
        head->has_encoding = true;
    }
    return !(head->has_length && head->has_encoding);
}

static bool field_line(transfer_head *head, const char *line, size_t length) {
    size_t name = 0;
    while (name < length && is_token((unsigned char)line[name])) name++;
    if (name == 0 || name == length || line[name] != ':') return false;
    const char *value = line + name + 1;
    const char *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t value_length = (size_t)(end - value);
    if (memchr(value, 0, value_length) || memchr(value, '\r', value_length)) return false;
    if (!framing_holds(head, line, name, value, value_length)) return false;
    size_t needed = head->length + name + 2 + value_length + 2;
    if (needed > HEAD_BYTES_MAX || !grow(head, (uint32_t)needed + 1)) return false;
    char *into = head->text + head->length;
    memcpy(into, line, name);
    memcpy(into + name, ": ", 2);
    memcpy(into + name + 2, value, value_length);
    memcpy(into + name + 2 + value_length, "\r\n", 3); // with a NUL after it, not counted
    head->length = (uint32_t)needed;
    return true;
}

bool transfer_head_line(transfer_head *head, const char *line, size_t length) {
    if (head->stage == HEAD_COMPLETE) return true; // a trailer
    if (length && line[length - 1] == '\n') length--;
    if (length && line[length - 1] == '\r') length--;
    if (head->stage == HEAD_EXPECTED) return status_line(head, line, length);
    if (length > 0) return field_line(head, line, length);
    head->stage = head->stage == HEAD_INTERIM ? HEAD_EXPECTED : HEAD_COMPLETE;
    return true;
}

// How libcurl's codes become ours. "Secured" means the TLS handshake was done, so that bytes of the
// request may have left; before it nothing can have.
//
//   RESOLVE           COULDNT_RESOLVE_HOST, COULDNT_RESOLVE_PROXY
//   CONNECT           COULDNT_CONNECT, PROXY (SOCKS), INTERFACE_FAILED, NO_CONNECTION_AVAILABLE; any failure in
//                     talking to a proxy: its CONNECT answered other than 2xx, or cut before TLS began
//   CONNECT_TIMEOUT   OPERATION_TIMEDOUT (no other timeout is set than the connect timeout, which covers
//                     look-up, TCP, proxy and TLS)
//   TLS               SSL_CONNECT_ERROR, PEER_FAILED_VERIFICATION, SSL_CERTPROBLEM, SSL_CIPHER, SSL_CACERT_BADFILE,
//                     SSL_ISSUER_ERROR, SSL_CRL_BADFILE, SSL_PINNEDPUBKEYNOTMATCH, SSL_INVALIDCERTSTATUS, SSL_CLIENTCERT,
//                     SSL_ENGINE_*, USE_SSL_FAILED: all unless secured, then NETWORK. (With TLS 1.3 a server refuses
//                     our certificate after the handshake: libcurl sees a failed read, and it is NETWORK.)
//   NETWORK           SEND_ERROR, RECV_ERROR, GOT_NOTHING, PARTIAL_FILE, HTTP2_STREAM (reset by the peer), and OK
//                     without a whole head, which libcurl says of a connection closed within one
//   MALFORMED         what our callbacks refused; UNSUPPORTED_PROTOCOL (HTTP/0.9, unknown version: the URL's scheme was
//                     checked before), WEIRD_SERVER_REPLY, HTTP2 (framing layer), HTTP2_STREAM with PROTOCOL_ERROR,
//                     BAD_CONTENT_ENCODING, FILESIZE_EXCEEDED (overlong length), RECV_ERROR for a bad chunk (told by
//                     its words alone), OUT_OF_MEMORY or TOO_LARGE while a head arrives (a line above 100 KiB)
//   OTHER             the rest: URL_MALFORMAT, LOGIN_DENIED (user in URL), READ/WRITE_ERROR, OUT_OF_MEMORY, …
int32_t transfer_result(const transfer *t, CURLcode code) {
    if (t->malformed) return CLAW_TRANSFER_MALFORMED;
    if (t->unwatched) return CLAW_TRANSFER_OTHER;
    curl_off_t handshake = 0, first_byte = 0;
    long connect_answer = 0, connections = 0;
    claw_curl.easy_get(t->easy, CURLINFO_APPCONNECT_TIME_T, &handshake);
    claw_curl.easy_get(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
    claw_curl.easy_get(t->easy, CURLINFO_HTTP_CONNECTCODE, &connect_answer);
    claw_curl.easy_get(t->easy, CURLINFO_NUM_CONNECTS, &connections);
    // A reused connection did its handshake before.
    bool secured = t->secure && (handshake > 0 || connections == 0);

    switch (code) {
    case CURLE_OK:
        return t->head.stage == HEAD_COMPLETE ? 0 : CLAW_TRANSFER_NETWORK;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return CLAW_TRANSFER_RESOLVE;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
    case CURLE_INTERFACE_FAILED:
    case CURLE_NO_CONNECTION_AVAILABLE:
        return CLAW_TRANSFER_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return CLAW_TRANSFER_CONNECT_TIMEOUT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
        return secured ? CLAW_TRANSFER_NETWORK : CLAW_TRANSFER_TLS;
    case CURLE_RECV_ERROR:
        if (strstr(t->error, "in chunked-encoding")) return CLAW_TRANSFER_MALFORMED;
        // fall through
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
        if (t->secure && !secured) return CLAW_TRANSFER_CONNECT;
        return CLAW_TRANSFER_NETWORK;
    case CURLE_PARTIAL_FILE:
        return CLAW_TRANSFER_NETWORK;
    case CURLE_HTTP2_STREAM:
        return strstr(t->error, "PROTOCOL_ERROR") ? CLAW_TRANSFER_MALFORMED : CLAW_TRANSFER_NETWORK;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
        return CLAW_TRANSFER_MALFORMED;
    case CURLE_OUT_OF_MEMORY:
        return first_byte > 0 && t->head.stage != HEAD_COMPLETE ? CLAW_TRANSFER_MALFORMED : CLAW_TRANSFER_OTHER;
    default:
        return CLAW_TRANSFER_OTHER;
    }
}
