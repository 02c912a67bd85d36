#include "casa_kernel.h"
