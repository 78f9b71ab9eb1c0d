#include "claw_inside.h"
#include <errno.h>
int32_t claw_uring_create(claw_loop *loop) { (void)loop; return -ENOSYS; }
int32_t claw_played_create(claw_loop *loop) { (void)loop; return -ENOSYS; }
