#include "claw_curl.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

claw_curl_functions claw_curl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int32_t verdict = -ENOENT;
static char words[256] = "libcurl has not been asked for";

// CURLOPT_QUICK_EXIT, without which the end of a transfer waits for a running getaddrinfo(3), came with 7.87.
enum { OLDEST_VERSION = 0x075700 };

static const struct { const char *name; void **place; } symbols[] = {
    {"curl_global_init", (void **)&claw_curl.global_init},
    {"curl_version_info", (void **)&claw_curl.version_info},
    {"curl_easy_init", (void **)&claw_curl.easy_init},
    {"curl_easy_cleanup", (void **)&claw_curl.easy_cleanup},
    {"curl_easy_reset", (void **)&claw_curl.easy_reset},
    {"curl_easy_setopt", (void **)&claw_curl.easy_set},
    {"curl_easy_getinfo", (void **)&claw_curl.easy_get},
    {"curl_easy_pause", (void **)&claw_curl.easy_pause},
    {"curl_easy_strerror", (void **)&claw_curl.easy_strerror},
    {"curl_multi_init", (void **)&claw_curl.multi_init},
    {"curl_multi_cleanup", (void **)&claw_curl.multi_cleanup},
    {"curl_multi_setopt", (void **)&claw_curl.multi_set},
    {"curl_multi_add_handle", (void **)&claw_curl.multi_add},
    {"curl_multi_remove_handle", (void **)&claw_curl.multi_remove},
    {"curl_multi_socket_action", (void **)&claw_curl.multi_act},
    {"curl_multi_info_read", (void **)&claw_curl.multi_message},
};

static void load(void) {
    // Never closed again: OpenSSL and others register exit handlers that would be gone.
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        snprintf(words, sizeof words, "libcurl is not usable: %s", reason ? reason : "libcurl.so.4 not found");
        return;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        *symbols[i].place = dlsym(library, symbols[i].name);
        if (!*symbols[i].place) {
            snprintf(words, sizeof words, "libcurl lacks %s", symbols[i].name);
            verdict = -ENOTSUP;
            return;
        }
    }
    if (claw_curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(words, sizeof words, "libcurl: initialisation refused");
        verdict = -ENOTSUP;
        return;
    }
    const curl_version_info_data *info = claw_curl.version_info(CURLVERSION_NOW);
    const int needed = CURL_VERSION_SSL | CURL_VERSION_ASYNCHDNS;
    if (info->version_num < OLDEST_VERSION || (info->features & needed) != needed) {
        snprintf(words, sizeof words, "libcurl %s: 7.87 or later with TLS and an asynchronous resolver is needed", info->version);
        verdict = -ENOTSUP;
        return;
    }
    snprintf(words, sizeof words, "libcurl/%s %s%s%s", info->version, info->ssl_version ? info->ssl_version : "",
             info->nghttp2_version ? " nghttp2/" : "", info->nghttp2_version ? info->nghttp2_version : "");
    verdict = 0;
}

int32_t claw_curl_load(void) {
    pthread_once(&once, load);
    return verdict;
}

const char *claw_curl_words(void) { return words; }
