
/*
 * Copyright (C) the nginx-ollama authors
 */


#ifndef _NGX_STUB_H_INCLUDED_
#define _NGX_STUB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>


/* the allocation of this many bytes fails; 0: none */
extern size_t  ngx_stub_fail_size;

/* pools that were made and not destroyed */
extern ngx_uint_t  ngx_stub_pools;


size_t ngx_stub_pool_bytes(ngx_pool_t *pool);
size_t ngx_stub_pool_peak(ngx_pool_t *pool);


#endif /* _NGX_STUB_H_INCLUDED_ */
