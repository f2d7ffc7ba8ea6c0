
/* A request */

#ifndef _FAKE_REQ_H_INCLUDED_
#define _FAKE_REQ_H_INCLUDED_

#include "codec.h"
#include "gen.h"


typedef struct {
    uint64_t        rec;
    char           *method;
    char           *uri;
    char           *path;
    char           *query;
    char           *host;
    char           *origin;
    char           *allow;          /* header line of a wrong method */
    int             minor;
    unsigned        chunked:1;
    unsigned        has_length:1;
    unsigned        hosts:2;
    unsigned        keepalive:1;
    unsigned        close:1;
    unsigned        expect:1;
    unsigned        head:1;
    unsigned        hashing:1;
    unsigned        cut:1;          /* body longer than what was kept */
    json_t         *headers;
    uint64_t        length;
    uint64_t        left;
    uint64_t        body_bytes;
    fake_buf_t      body;
    fake_sha256_t   sha;
    char            sha256[65];
    fake_gen_t      gen;
} fake_req_t;


#endif /* _FAKE_REQ_H_INCLUDED_ */
