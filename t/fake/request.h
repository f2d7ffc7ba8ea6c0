
/* The request reader */

#ifndef _FAKE_REQUEST_H_INCLUDED_
#define _FAKE_REQUEST_H_INCLUDED_

#include "codec.h"
#include "conn.h"
#include "form.h"


#define FAKE_HEAD_MAX     (1024 * 1024)


struct fake_req_s {
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
};


void fake_request_read(fake_conn_t *c);
void fake_request_bad(fake_conn_t *c, int status, const char *text);


#endif /* _FAKE_REQUEST_H_INCLUDED_ */
