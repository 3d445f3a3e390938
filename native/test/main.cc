// The `main` of the binaries that run tests; the one of the fuzz targets is libFuzzer's.

#include "test/harness.h"

int main(int count, char** values) { return thermocline::test::RunTests(count, values); }
