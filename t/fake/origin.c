
/*
 * The origin of a page, as replies tell of it.
 */

#include "origin.h"


int
fake_origin_same(const fake_req_t *r)
{
    const char  *o;

    o = r->origin;

    return (strncmp(o, "http://", 7) == 0 && strcmp(o + 7, r->host) == 0)
           || (strncmp(o, "https://", 8) == 0
               && strcmp(o + 8, r->host) == 0);
}


/* the headers every answer to an allowed foreign origin has */

void
fake_origin_headers(fake_conn_t *c, fake_buf_t *more)
{
    fake_req_t  *r;

    r = c->req;

    if (c->control || !fake_server.check_host || r->origin == NULL
        || *r->origin == '\0' || fake_origin_same(r))
    {
        return;
    }

    fake_buf_fmt(more, "Access-Control-Allow-Origin: %s\r\nVary: Origin\r\n",
                 r->origin);
}
