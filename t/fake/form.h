
/* A frame's text: Ollama's and OpenAI's forms */

#ifndef _FAKE_FORM_H_INCLUDED_
#define _FAKE_FORM_H_INCLUDED_

#include "gen.h"


void fake_form_frame(fake_buf_t *b, fake_gen_t *g);
void fake_form_whole(fake_buf_t *b, fake_gen_t *g);
void fake_form_error(fake_buf_t *b, fake_gen_t *g, const char *text);
void fake_form_embeddings(fake_buf_t *b, fake_gen_t *g);


#endif /* _FAKE_FORM_H_INCLUDED_ */
