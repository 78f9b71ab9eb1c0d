// From a request and its policy to the options of an easy handle. What goes out is what the caller
// wrote: its header lines in its order, nothing of libcurl's own (Accept, Expect, User-Agent,
// Content-Type), no redirect, cookie, netrc or environment variable has a say.
#include "claw_transfer_inside.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static int32_t keep(const char *text, char **into) {
    if (!text) return 0;
    *into = strdup(text);
    return *into ? 0 : -ENOMEM;
}

int32_t claw_transfer_policy_create(const claw_transfer_policy_options *options, claw_transfer_policy **out) {
    claw_transfer_policy *policy = calloc(1, sizeof *policy);
    if (!policy) return -ENOMEM;
    if (keep(options->ca_file, &policy->ca_file) || keep(options->client_certificate, &policy->client_certificate) ||
        keep(options->client_key, &policy->client_key) || keep(options->proxy, &policy->proxy) ||
        keep(options->connect_to, &policy->connect_to)) {
        claw_transfer_policy_destroy(policy);
        return -ENOMEM;
    }
    policy->connect_to_list.data = policy->connect_to;
    policy->insecure_skip_verify = options->insecure_skip_verify != 0;
    policy->http1_only = options->http_version == 1;
    policy->connect_timeout_ms = options->connect_timeout_ms;
    *out = policy;
    return 0;
}

void claw_transfer_policy_destroy(claw_transfer_policy *policy) {
    if (!policy) return;
    free(policy->ca_file);
    free(policy->client_certificate);
    free(policy->client_key);
    free(policy->proxy);
    free(policy->connect_to);
    free(policy);
}

// ---- body ----------------------------------------------------------------------------------

size_t transfer_body_read(transfer_body *body, char *into, size_t capacity) {
    size_t done = 0;
    while (done < capacity && body->slice < body->count) {
        const claw_slice *slice = &body->slices[body->slice];
        size_t n = slice->length - body->offset;
        if (n > capacity - done) n = capacity - done;
        if (n) memcpy(into + done, (const char *)slice->base + body->offset, n);
        done += n;
        body->offset += n;
        if (body->offset == slice->length) {
            body->slice++;
            body->offset = 0;
        }
    }
    return done;
}

bool transfer_body_seek(transfer_body *body, uint64_t offset) {
    if (offset > body->length) return false;
    body->slice = 0;
    while (body->slice < body->count && offset >= body->slices[body->slice].length) {
        offset -= body->slices[body->slice].length;
        body->slice++;
    }
    body->offset = (size_t)offset;
    return true;
}

size_t transfer_on_read(char *into, size_t size, size_t count, void *context) {
    transfer *t = context;
    return transfer_body_read(&t->body, into, size * count);
}

int transfer_on_seek(void *context, curl_off_t offset, int origin) {
    transfer *t = context;
    // libcurl rewinds to absolute places only.
    if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_FAIL;
    return transfer_body_seek(&t->body, (uint64_t)offset) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/// libcurl 7.88 opens sockets that a child of exec would inherit; ours are close-on-exec.
curl_socket_t transfer_on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)context;
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

// ---- header lines --------------------------------------------------------------------------

static bool is_token(unsigned char c) {
    // RFC 9110 §5.6.2
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token_text(const char *text) {
    if (!*text) return false;
    for (; *text; text++)
        if (!is_token((unsigned char)*text)) return false;
    return true;
}

/// Length of the name, 0 when the line is none that may be sent.
static size_t checked_name(const claw_slice *line) {
    const char *text = line->base;
    size_t name = 0;
    while (name < line->length && is_token((unsigned char)text[name])) name++;
    if (name == 0 || name == line->length || text[name] != ':') return 0;
    for (size_t i = name + 1; i < line->length; i++)
        if (text[i] == '\r' || text[i] == '\n' || text[i] == 0) return 0;
    return name;
}

static bool is_name(const claw_slice *line, size_t name, const char *wanted) {
    return strlen(wanted) == name && strncasecmp(line->base, wanted, name) == 0;
}

/// The caller may write Content-Length itself if it tells the truth: the slices decide.
static bool says_length(const claw_slice *line, size_t name, uint64_t length) {
    const char *text = line->base;
    size_t i = name + 1, end = line->length;
    while (i < end && (text[i] == ' ' || text[i] == '\t')) i++;
    while (end > i && (text[end - 1] == ' ' || text[end - 1] == '\t')) end--;
    if (i == end) return false;
    uint64_t value = 0;
    for (; i < end; i++) {
        if (text[i] < '0' || text[i] > '9' || value > (UINT64_MAX - 9) / 10) return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return value == length;
}

// Lines that keep libcurl from writing its own.
static char no_accept[] = "Accept:", no_expect[] = "Expect:", no_agent[] = "User-Agent:", no_type[] = "Content-Type:";

typedef struct { struct curl_slist *nodes; uint32_t count; } header_list;

static void append(header_list *list, char *data) {
    struct curl_slist *node = &list->nodes[list->count];
    node->data = data;
    node->next = NULL;
    if (list->count) list->nodes[list->count - 1].next = node;
    list->count++;
}

/// Lays body slices, list nodes and header text out in the slot's scratch: one block, reused by the slot's next
/// transfer. libcurl reads the list in place, so nothing is allocated per line.
static int32_t lay_out(transfer *t, const claw_transfer_request *request, struct curl_slist **out) {
    size_t text_bytes = 0;
    for (uint32_t i = 0; i < request->header_count; i++)
        if (__builtin_add_overflow(text_bytes, request->headers[i].length, &text_bytes) ||
            __builtin_add_overflow(text_bytes, 2, &text_bytes)) return -EINVAL;
    size_t slices_bytes = (size_t)request->body_count * sizeof(claw_slice);
    size_t nodes_bytes = ((size_t)request->header_count + 4) * sizeof(struct curl_slist);
    size_t needed;
    if (__builtin_add_overflow(slices_bytes + nodes_bytes, text_bytes, &needed)) return -EINVAL;
    if (needed > t->scratch_capacity) {
        free(t->scratch);
        t->scratch_capacity = 0;
        t->scratch = malloc(needed);
        if (!t->scratch) return -ENOMEM;
        t->scratch_capacity = needed;
    }
    claw_slice *slices = t->scratch;
    if (request->body_count) memcpy(slices, request->body, slices_bytes);
    uint64_t length = 0;
    for (uint32_t i = 0; i < request->body_count; i++)
        if (__builtin_add_overflow(length, slices[i].length, &length) || length > INT64_MAX) return -EINVAL;
    t->body = (transfer_body){.slices = slices, .count = request->body_count, .length = length};
    transfer_body_seek(&t->body, 0);

    header_list list = {.nodes = (struct curl_slist *)((char *)t->scratch + slices_bytes)};
    char *text = (char *)t->scratch + slices_bytes + nodes_bytes;
    bool accept = false, expect = false, agent = false, type = false;
    for (uint32_t i = 0; i < request->header_count; i++) {
        const claw_slice *line = &request->headers[i];
        size_t name = checked_name(line);
        if (name == 0 || is_name(line, name, "Transfer-Encoding")) return -EINVAL;
        if (is_name(line, name, "Content-Length")) {
            if (!says_length(line, name, length)) return -EINVAL;
            continue;
        }
        accept = accept || is_name(line, name, "Accept");
        expect = expect || is_name(line, name, "Expect");
        agent = agent || is_name(line, name, "User-Agent");
        type = type || is_name(line, name, "Content-Type");
        size_t end = line->length;
        memcpy(text, line->base, end);
        while (end > name + 1 && (text[end - 1] == ' ' || text[end - 1] == '\t')) end--;
        // "Name:" tells libcurl to leave that header out; an empty value is written "Name;".
        if (end == name + 1) text[name] = ';';
        text[end] = 0;
        append(&list, text);
        text += end + 1;
    }
    if (!accept) append(&list, no_accept);
    if (!expect) append(&list, no_expect);
    if (!agent) append(&list, no_agent);
    if (!type) append(&list, no_type);
    *out = list.nodes;
    return 0;
}

// ---- options -------------------------------------------------------------------------------

static void apply_policy(CURL *easy, const claw_transfer_policy *policy) {
    // An empty proxy and no_proxy keep the environment's out.
    claw_curl.easy_set(easy, CURLOPT_PROXY, policy && policy->proxy ? policy->proxy : "");
    claw_curl.easy_set(easy, CURLOPT_NOPROXY, "");
    claw_curl.easy_set(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    claw_curl.easy_set(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); // credentials are not for the proxy
    claw_curl.easy_set(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    // Debian's libcurl has /etc/ssl/certs as CAPATH besides its CAINFO. It has to go: with it the system's
    // authorities would be trusted next to those of ca_file, and libcurl would read the bundle anew for
    // each connection (its store cache wants a CAINFO only).
    claw_curl.easy_set(easy, CURLOPT_CAPATH, NULL);
    bool http2 = true;
    if (policy) {
        if (policy->ca_file) claw_curl.easy_set(easy, CURLOPT_CAINFO, policy->ca_file);
        if (policy->client_certificate) claw_curl.easy_set(easy, CURLOPT_SSLCERT, policy->client_certificate);
        if (policy->client_key) claw_curl.easy_set(easy, CURLOPT_SSLKEY, policy->client_key);
        if (policy->connect_to) claw_curl.easy_set(easy, CURLOPT_CONNECT_TO, &policy->connect_to_list);
        if (policy->connect_timeout_ms) claw_curl.easy_set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)policy->connect_timeout_ms);
        if (policy->insecure_skip_verify) {
            claw_curl.easy_set(easy, CURLOPT_SSL_VERIFYPEER, 0L);
            claw_curl.easy_set(easy, CURLOPT_SSL_VERIFYHOST, 0L);
        }
        http2 = !policy->http1_only;
    }
    claw_curl.easy_set(easy, CURLOPT_HTTP_VERSION, (long)(http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    // Rather wait for a connection being made, which may turn out to speak HTTP/2, than open another.
    claw_curl.easy_set(easy, CURLOPT_PIPEWAIT, http2 ? 1L : 0L);
}

static void apply_method(transfer *t, const char *method, bool has_body) {
    if (strcmp(method, "HEAD") == 0) {
        claw_curl.easy_set(t->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    // RFC 9110 §8.6: a method that anticipates content says Content-Length: 0 when there is none.
    bool anticipates = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    if (has_body || anticipates) {
        claw_curl.easy_set(t->easy, CURLOPT_UPLOAD, 1L);
        claw_curl.easy_set(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->body.length);
        claw_curl.easy_set(t->easy, CURLOPT_READFUNCTION, transfer_on_read);
        claw_curl.easy_set(t->easy, CURLOPT_READDATA, t);
        claw_curl.easy_set(t->easy, CURLOPT_SEEKFUNCTION, transfer_on_seek);
        claw_curl.easy_set(t->easy, CURLOPT_SEEKDATA, t);
    }
    claw_curl.easy_set(t->easy, CURLOPT_CUSTOMREQUEST, method);
}

int32_t transfer_request_apply(transfer *t, const claw_transfer_request *request) {
    t->secure = strncasecmp(request->url, "https://", 8) == 0;
    if (!t->secure && strncasecmp(request->url, "http://", 7) != 0) return -EINVAL;
    if (!is_token_text(request->method)) return -EINVAL;
    struct curl_slist *headers;
    int32_t failed = lay_out(t, request, &headers);
    if (failed) return failed;

    CURL *easy = t->easy;
    if (claw_curl.easy_set(easy, CURLOPT_URL, request->url) != CURLE_OK) return -ENOMEM;
    claw_curl.easy_set(easy, CURLOPT_PRIVATE, t);
    claw_curl.easy_set(easy, CURLOPT_ERRORBUFFER, t->error);
    claw_curl.easy_set(easy, CURLOPT_NOSIGNAL, 1L);
    claw_curl.easy_set(easy, CURLOPT_QUICK_EXIT, 1L); // a cancel must not wait for getaddrinfo(3)
    claw_curl.easy_set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    claw_curl.easy_set(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L); // it would become an Authorization line
    claw_curl.easy_set(easy, CURLOPT_PATH_AS_IS, 1L);
    claw_curl.easy_set(easy, CURLOPT_FOLLOWLOCATION, 0L);
    claw_curl.easy_set(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    claw_curl.easy_set(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    claw_curl.easy_set(easy, CURLOPT_TCP_NODELAY, 1L);
    claw_curl.easy_set(easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
    claw_curl.easy_set(easy, CURLOPT_BUFFERSIZE, (long)WINDOW_STEP);
    claw_curl.easy_set(easy, CURLOPT_OPENSOCKETFUNCTION, transfer_on_open);
    claw_curl.easy_set(easy, CURLOPT_HEADERFUNCTION, transfer_on_header);
    claw_curl.easy_set(easy, CURLOPT_HEADERDATA, t);
    claw_curl.easy_set(easy, CURLOPT_WRITEFUNCTION, transfer_on_body);
    claw_curl.easy_set(easy, CURLOPT_WRITEDATA, t);
    claw_curl.easy_set(easy, CURLOPT_HTTPHEADER, headers);
    apply_policy(easy, request->policy);
    // In clear text nothing says that it could be HTTP/2, so waiting would be for the first answer on it.
    if (strncmp(request->url, "https:", 6) != 0) claw_curl.easy_set(easy, CURLOPT_PIPEWAIT, 0L);
    apply_method(t, request->method, t->body.length > 0);
    return 0;
}
