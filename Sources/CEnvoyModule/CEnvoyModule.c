#include "CEnvoyModule.h"
