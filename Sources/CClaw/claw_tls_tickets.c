// Keys of session tickets. A ticket holds a session encrypted under a key that only servers know, so that no server keeps sessions;
// who has the key reads every connection that used the ticket without a fresh key exchange, hence keys live in memory only and two
// periods at most: one in which tickets are made with them, one in which they are still taken. All workers share them, so a client
// resumes at whichever it reaches, and a reload keeps them. Handshakes only: a mutex is cheap beside a signature.
#include "claw_secure.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

typedef struct ticket_key { uint8_t name[16], cipher[32], authenticate[32]; bool usable; } ticket_key;

struct claw_tls_tickets {
    uint32_t references;   // atomic
    uint32_t period_seconds;
    pthread_mutex_t lock;
    uint64_t made_ns;      // when `current` was
    ticket_key current, previous;
};

static bool key_make(ticket_key *key) {
    key->usable = RAND_bytes(key->name, sizeof key->name) == 1 && RAND_priv_bytes(key->cipher, sizeof key->cipher) == 1 &&
                  RAND_priv_bytes(key->authenticate, sizeof key->authenticate) == 1;
    return key->usable;
}

int32_t claw_tls_tickets_create(uint32_t period_seconds, claw_tls_tickets **out) {
    *out = NULL;
    if (period_seconds == 0) return -EINVAL;
    claw_tls_tickets *t = calloc(1, sizeof *t);
    if (t == NULL) return -ENOMEM;
    if (!key_make(&t->current)) {
        free(t);
        return -EIO;
    }
    t->references = 1;
    t->period_seconds = period_seconds;
    t->made_ns = claw_clock();
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return 0;
}

void claw_tls_tickets_retain(claw_tls_tickets *tickets) { __atomic_fetch_add(&tickets->references, 1, __ATOMIC_RELAXED); }

void claw_tls_tickets_release(claw_tls_tickets *tickets) {
    if (tickets == NULL || __atomic_fetch_sub(&tickets->references, 1, __ATOMIC_ACQ_REL) != 1) return;
    pthread_mutex_destroy(&tickets->lock);
    OPENSSL_cleanse(tickets, sizeof *tickets);
    free(tickets);
}

uint32_t claw_tls_tickets_period(const claw_tls_tickets *tickets) { return tickets->period_seconds; }

/// Called under the lock. After a pause of more than one period even the previous key is too old.
static void rotate(claw_tls_tickets *t) {
    uint64_t period = (uint64_t)t->period_seconds * 1000000000u, age = claw_clock() - t->made_ns;
    if (age < period) return;
    t->previous = t->current;
    if (age >= 2 * period) t->previous.usable = false;
    key_make(&t->current);
    t->made_ns += age - age % period;
}

/// Copies the key to use out. 1: the current one, 2: the previous one (give a new ticket), 0: none.
static int key_for(claw_tls_tickets *t, bool making, const uint8_t name[16], ticket_key *out) {
    int found = 0;
    pthread_mutex_lock(&t->lock);
    rotate(t);
    if (t->current.usable && (making || memcmp(name, t->current.name, 16) == 0)) {
        *out = t->current;
        found = 1;
    } else if (!making && t->previous.usable && memcmp(name, t->previous.name, 16) == 0) {
        *out = t->previous;
        found = 2;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

/// OpenSSL's contract (SSL_CTX_set_tlsext_ticket_key_evp_cb): < 0 error, 0 no such key (a full handshake follows), 1 good, 2 good but renew.
static int ticket_key_wanted(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int making) {
    const claw_secure *c = SSL_get_app_data(ssl);
    ticket_key key;
    int found = c == NULL || c->tls->tickets == NULL ? 0 : key_for(c->tls->tickets, making, name, &key);
    if (found == 0) return 0;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.authenticate, sizeof key.authenticate),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0),
        OSSL_PARAM_construct_end(),
    };
    bool good = EVP_MAC_CTX_set_params(mac, parameters) == 1;
    if (making && good) {
        memcpy(name, key.name, sizeof key.name);
        good = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
    }
    good = good && EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv, making) == 1;
    OPENSSL_cleanse(&key, sizeof key);
    return good ? found : -1;
}

void claw_tls_tickets_use(SSL_CTX *context, uint32_t period_hint) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key_wanted);
    // One ticket a connection: clients that open several at once get one from each.
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_timeout(context, 2 * (long)period_hint);
}
