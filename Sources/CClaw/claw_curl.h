// claw_curl: the functions of libcurl that claw_transfer uses, found at run time.
//
// libcurl pulls in some thirty shared libraries (LDAP, Kerberos, SSH, RTMP…). Linking it would charge
// every process for them, also a gateway that has only http:// upstreams; so it is opened on first use.
// Its headers still give the types and constants at compile time.
#ifndef CLAW_CURL_H
#define CLAW_CURL_H
#include <stdint.h>
#define CURL_DISABLE_TYPECHECK 1
#define CURL_NO_OLDIES 1
#include <curl/curl.h>

typedef struct claw_curl_functions {
    CURLcode (*global_init)(long flags);
    curl_version_info_data *(*version_info)(CURLversion);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *);
    void (*easy_reset)(CURL *);
    CURLcode (*easy_set)(CURL *, CURLoption, ...);
    CURLcode (*easy_get)(CURL *, CURLINFO, ...);
    CURLcode (*easy_pause)(CURL *, int bits);
    const char *(*easy_strerror)(CURLcode);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *);
    CURLMcode (*multi_set)(CURLM *, CURLMoption, ...);
    CURLMcode (*multi_add)(CURLM *, CURL *);
    CURLMcode (*multi_remove)(CURLM *, CURL *);
    CURLMcode (*multi_act)(CURLM *, curl_socket_t, int bits, int *running);
    CURLMsg *(*multi_message)(CURLM *, int *left);
} claw_curl_functions;

/// The functions; valid after claw_curl_load returned 0.
extern claw_curl_functions claw_curl;

/// Opens libcurl and initialises it, once per process; any thread. 0, -ENOENT (not installed),
/// -ENOTSUP (too old, or without TLS or an asynchronous resolver). May block on the disk, the first time.
int32_t claw_curl_load(void);
/// What was loaded ("libcurl/7.88.1 OpenSSL/3.0.19") or why nothing was; never NULL.
const char *claw_curl_words(void);
#endif
