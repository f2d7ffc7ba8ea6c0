
/* A frame's text: event forms (Responses, Anthropic) */

#ifndef _FAKE_EVENTS_H_INCLUDED_
#define _FAKE_EVENTS_H_INCLUDED_

#include "gen.h"


void fake_events_messages(fake_buf_t *b, fake_gen_t *g, int part, int64_t i);
void fake_events_messages_whole(fake_buf_t *b, fake_gen_t *g);
void fake_events_responses(fake_buf_t *b, fake_gen_t *g, int part,
    int64_t i);
void fake_events_responses_whole(fake_buf_t *b, fake_gen_t *g);


#endif /* _FAKE_EVENTS_H_INCLUDED_ */
