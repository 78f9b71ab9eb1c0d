// Certificates, keys and authorities from files. Every refusal is one sentence that names the file and what is wrong with it, because
// the person who reads it has renewed a certificate at night and has several of them. Files are read whole and at most CLAW_PEM_MAX
// bytes of them; what held a key is wiped.
#include "claw_secure.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CLAW_PEM_MAX = 4 << 20, CLAW_NAMES_MAX = 1 << 16 };

int32_t claw_problem_say(claw_problem problem, int32_t error, const char *format, ...) {
    if (problem.text != NULL && problem.size > 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(problem.text, problem.size, format, arguments);
        va_end(arguments);
    }
    return -error;
}

const char *claw_openssl_reason(void) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code == 0 ? NULL : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    ERR_clear_error();
    return reason != NULL ? reason : "no reason given";
}

// ---- reading files -------------------------------------------------------------------------

typedef struct whole { uint8_t *bytes; size_t length; } whole;

static void whole_free(whole *file) {
    if (file->bytes != NULL) OPENSSL_cleanse(file->bytes, file->length);
    free(file->bytes);
    *file = (whole){ 0 };
}

static int32_t read_whole(const char *what, const char *path, whole *out, claw_problem problem) {
    *out = (whole){ 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat about;
    if (fd < 0 || fstat(fd, &about) != 0) {
        int error = errno;
        if (fd >= 0) close(fd);
        return claw_problem_say(problem, error, "%s %s: %s", what, path, strerror(error));
    }
    int32_t result = 0;
    if (!S_ISREG(about.st_mode)) result = claw_problem_say(problem, EINVAL, "%s %s: not a regular file", what, path);
    else if (about.st_size == 0) result = claw_problem_say(problem, EINVAL, "%s %s: empty", what, path);
    else if (about.st_size > CLAW_PEM_MAX)
        result = claw_problem_say(problem, EFBIG, "%s %s: %lld bytes, at most %d are read", what, path, (long long)about.st_size, CLAW_PEM_MAX);
    else if ((out->bytes = malloc((size_t)about.st_size)) == NULL) result = claw_problem_say(problem, ENOMEM, "%s %s: no memory", what, path);
    while (result == 0 && out->length < (size_t)about.st_size) {
        ssize_t n = read(fd, out->bytes + out->length, (size_t)about.st_size - out->length);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) result = claw_problem_say(problem, errno, "%s %s: %s", what, path, strerror(errno));
        if (n == 0) break;
        if (n > 0) out->length += (size_t)n;
    }
    close(fd);
    if (result != 0) whole_free(out);
    return result;
}

/// Keys with a passphrase are refused: nobody is there to type it.
static int no_passphrase(char *into, int size, int writing, void *asked) {
    (void)into; (void)size; (void)writing;
    *(bool *)asked = true;
    return -1;
}

// ---- certificates --------------------------------------------------------------------------

static int64_t seconds_of(const ASN1_TIME *time) {
    struct tm at;
    return time != NULL && ASN1_TIME_to_tm(time, &at) == 1 ? (int64_t)timegm(&at) : 0;
}

static int32_t say_date(claw_problem problem, const char *path, const char *words, int64_t seconds) {
    char text[32];
    time_t at = (time_t)seconds;
    struct tm parts;
    gmtime_r(&at, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return claw_problem_say(problem, EINVAL, "certificate %s: %s %s", path, words, text);
}

static int32_t check_dates(claw_tls *tls, const X509 *leaf, const char *path, claw_problem problem) {
    int64_t from = seconds_of(X509_get0_notBefore(leaf)), until = seconds_of(X509_get0_notAfter(leaf)), now = (int64_t)time(NULL);
    if (until <= now) return say_date(problem, path, "expired on", until);
    if (from > now) return say_date(problem, path, "not valid before", from);
    if (tls->expires == 0 || until < tls->expires) tls->expires = until;
    return 0;
}

/// The certificates behind the leaf. A block that is not one makes the whole file unreadable; other kinds of blocks are skipped.
static int32_t load_chain(SSL_CTX *context, BIO *from, const char *path, claw_problem problem) {
    for (int position = 2;; position++) {
        ERR_clear_error();
        X509 *next = PEM_read_bio_X509(from, NULL, no_passphrase, &(bool){ false });
        if (next == NULL) {
            unsigned long code = ERR_peek_last_error();
            if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
                ERR_clear_error();
                return 0;
            }
            return claw_problem_say(problem, EINVAL, "certificate %s: its chain is unreadable at certificate %d: %s", path, position,
                                    claw_openssl_reason());
        }
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return claw_problem_say(problem, EINVAL, "certificate %s: certificate %d of its chain is refused: %s", path, position,
                                    claw_openssl_reason());
        }
    }
}

// ---- names ---------------------------------------------------------------------------------

static int32_t add_name(claw_tls *tls, uint32_t pair, const uint8_t *text, size_t length) {
    if (length == 0 || length > 255 || memchr(text, 0, length) != NULL) return 0;
    if (tls->name_count == CLAW_NAMES_MAX) return -E2BIG;
    if ((tls->name_count & (tls->name_count - 1)) == 0) {
        size_t room = tls->name_count == 0 ? 1 : (size_t)tls->name_count * 2;
        claw_tls_name *more = realloc(tls->names, room * sizeof *more);
        if (more == NULL) return -ENOMEM;
        tls->names = more;
    }
    char *copy = malloc(length + 1);
    if (copy == NULL) return -ENOMEM;
    for (size_t i = 0; i < length; i++) copy[i] = (char)tolower(text[i]);
    copy[length] = 0;
    tls->names[tls->name_count++] = (claw_tls_name){ .text = copy, .pair = pair };
    return 0;
}

static int32_t add_common_name(claw_tls *tls, uint32_t pair, const X509 *leaf) {
    const X509_NAME *subject = X509_get_subject_name(leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return 0;
    uint8_t *text = NULL;
    int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    int32_t result = length > 0 ? add_name(tls, pair, text, (size_t)length) : 0;
    OPENSSL_free(text);
    return result;
}

/// SAN entries that a client may ask for; the common name only where there is no DNS entry (RFC 6125 §6.4.4).
static int32_t add_names(claw_tls *tls, uint32_t pair, const X509 *leaf) {
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int32_t result = 0;
    bool dns = false;
    for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type == GEN_DNS) {
            dns = true;
            result = add_name(tls, pair, ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName));
        } else if (name->type == GEN_IPADD) {
            char text[INET6_ADDRSTRLEN];
            int length = ASN1_STRING_length(name->d.iPAddress);
            int family = length == 4 ? AF_INET : length == 16 ? AF_INET6 : 0;
            if (family != 0 && inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text) != NULL)
                result = add_name(tls, pair, (const uint8_t *)text, strlen(text));
        }
    }
    GENERAL_NAMES_free(all);
    return result == 0 && !dns ? add_common_name(tls, pair, leaf) : result;
}

static int by_name(const void *one, const void *other) {
    const claw_tls_name *a = one, *b = other;
    int order = strcmp(a->text, b->text);
    return order != 0 ? order : (a->pair > b->pair) - (a->pair < b->pair);
}

void claw_tls_names_done(claw_tls *tls) {
    if (tls->name_count > 1) qsort(tls->names, tls->name_count, sizeof *tls->names, by_name);
}

static int32_t look_up(const claw_tls *tls, const char *name) {
    uint32_t low = 0, high = tls->name_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(tls->names[middle].text, name) < 0) low = middle + 1;
        else high = middle;
    }
    return low < tls->name_count && strcmp(tls->names[low].text, name) == 0 ? (int32_t)tls->names[low].pair : -1;
}

int32_t claw_tls_pair_for(const claw_tls *tls, const char *name) {
    if (name[0] == '*') return -1;
    int32_t pair = look_up(tls, name);
    const char *rest = strchr(name, '.');
    char wild[258];
    if (pair >= 0 || rest == NULL || rest == name || strlen(rest) > sizeof wild - 2) return pair;
    wild[0] = '*';
    memcpy(wild + 1, rest, strlen(rest) + 1);
    return look_up(tls, wild);
}

void claw_tls_names_free(claw_tls *tls) {
    for (uint32_t i = 0; i < tls->name_count; i++) free(tls->names[i].text);
    free(tls->names);
}

// ---- pairs ---------------------------------------------------------------------------------

static int32_t load_certificate(claw_tls *tls, SSL_CTX *context, const char *path, uint32_t index, claw_problem problem) {
    whole file;
    int32_t result = read_whole("certificate", path, &file, problem);
    if (result != 0) return result;
    BIO *from = BIO_new_mem_buf(file.bytes, (int)file.length);
    X509 *leaf = from == NULL ? NULL : PEM_read_bio_X509_AUX(from, NULL, no_passphrase, &(bool){ false });
    if (leaf == NULL) result = claw_problem_say(problem, EINVAL, "certificate %s: no certificate in PEM form: %s", path, claw_openssl_reason());
    if (result == 0) result = check_dates(tls, leaf, path, problem);
    if (result == 0 && SSL_CTX_use_certificate(context, leaf) != 1)
        result = claw_problem_say(problem, EINVAL, "certificate %s: refused by OpenSSL: %s", path, claw_openssl_reason());
    if (result == 0) result = load_chain(context, from, path, problem);
    if (result == 0 && tls->server && (result = add_names(tls, index, leaf)) != 0)
        claw_problem_say(problem, -result, "certificate %s: %s", path, strerror(-result));
    X509_free(leaf);
    BIO_free(from);
    whole_free(&file);
    return result;
}

static int32_t load_key(SSL_CTX *context, const claw_tls_pair *pair, claw_problem problem) {
    whole file;
    int32_t result = read_whole("key", pair->key, &file, problem);
    if (result != 0) return result;
    bool asked = false;
    BIO *from = BIO_new_mem_buf(file.bytes, (int)file.length);
    EVP_PKEY *key = from == NULL ? NULL : PEM_read_bio_PrivateKey(from, NULL, no_passphrase, &asked);
    if (key == NULL && asked) {
        ERR_clear_error();
        result = claw_problem_say(problem, EINVAL, "key %s: encrypted, and passphrases are not supported", pair->key);
    } else if (key == NULL) {
        result = claw_problem_say(problem, EINVAL, "key %s: no private key in PEM form: %s", pair->key, claw_openssl_reason());
    } else if (X509_check_private_key(SSL_CTX_get0_certificate(context), key) != 1) {
        ERR_clear_error();
        result = claw_problem_say(problem, EINVAL, "key %s: does not belong to certificate %s", pair->key, pair->certificate);
    } else if (SSL_CTX_use_PrivateKey(context, key) != 1) {
        result = claw_problem_say(problem, EINVAL, "key %s: refused by OpenSSL: %s", pair->key, claw_openssl_reason());
    }
    EVP_PKEY_free(key);
    BIO_free(from);
    whole_free(&file);
    return result;
}

int32_t claw_tls_load_pair(claw_tls *tls, SSL_CTX *context, const claw_tls_pair *pair, uint32_t index, claw_problem problem) {
    ERR_clear_error();
    if (pair->certificate == NULL || pair->key == NULL) return claw_problem_say(problem, EINVAL, "a certificate needs a key and a key a certificate");
    int32_t result = load_certificate(tls, context, pair->certificate, index, problem);
    return result == 0 ? load_key(context, pair, problem) : result;
}

// ---- authorities ---------------------------------------------------------------------------

/// Takes one certificate of a bundle over. An entry that is there twice is no error.
static bool add_authority(SSL_CTX *context, X509 *authority, STACK_OF(X509_NAME) *names) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) != 1) return false;
    if (names == NULL) return true;
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(authority));
    if (name != NULL && sk_X509_NAME_push(names, name) > 0) return true;
    X509_NAME_free(name);
    return false;
}

int32_t claw_tls_load_authorities(SSL_CTX *context, const char *path, bool server, uint8_t *digest, claw_problem problem) {
    whole file;
    ERR_clear_error();
    int32_t result = read_whole("certificate authorities", path, &file, problem);
    if (result != 0) return result;
    if (digest != NULL) EVP_Digest(file.bytes, file.length, digest, NULL, EVP_sha256(), NULL);
    BIO *from = BIO_new_mem_buf(file.bytes, (int)file.length);
    STACK_OF(X509_NAME) *names = server ? sk_X509_NAME_new_null() : NULL;
    int count = 0;
    while (result == 0) {
        ERR_clear_error();
        X509 *authority = PEM_read_bio_X509_AUX(from, NULL, no_passphrase, &(bool){ false });
        unsigned long code = ERR_peek_last_error();
        if (authority == NULL && count > 0 && ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) break;
        if (authority == NULL || !add_authority(context, authority, names))
            result = claw_problem_say(problem, EINVAL, "certificate authorities %s: unreadable at certificate %d: %s", path, count + 1,
                                      claw_openssl_reason());
        X509_free(authority);
        count++;
    }
    ERR_clear_error();
    if (result == 0 && names != NULL) SSL_CTX_set_client_CA_list(context, names);
    else sk_X509_NAME_pop_free(names, X509_NAME_free);
    BIO_free(from);
    whole_free(&file);
    return result;
}
