#include "casa_guard.h"
#include "casa_kernel.h"
