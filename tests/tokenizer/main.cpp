#include "check.h"

G4_TEST_MAIN
