#include "CClaw.h"
