
/* SHA-256, gzip, base64 */

#ifndef _FAKE_CODEC_H_INCLUDED_
#define _FAKE_CODEC_H_INCLUDED_

#include "util.h"


typedef struct {
    uint64_t        total;
    uint32_t        h[8];
    unsigned char   block[64];
} fake_sha256_t;


void fake_sha256_init(fake_sha256_t *s);
void fake_sha256_add(fake_sha256_t *s, const void *data, size_t len);
void fake_sha256_hex(fake_sha256_t *s, char *hex);
void fake_gzip(fake_buf_t *out, const char *data, size_t len);
void fake_base64(fake_buf_t *out, const unsigned char *data, size_t len);


#endif /* _FAKE_CODEC_H_INCLUDED_ */
