// Umbrella of the shim: everything that touches the system goes through these headers.
#include "claw_loop.h"
#include "claw_os.h"
#include "claw_played.h"
#include "claw_transfer.h"
#include "claw_tls.h"
#include "claw_h2.h"
