// A small test harness: TEST(name) { CHECK(...); } and one main per program (G4_TEST_MAIN). A failed CHECK prints the
// place and the values and the program exits 1; an argument runs only the tests whose name contains it.
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

namespace g4::test {

struct Case {
  const char* name;
  void (*body)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
inline int& failures() {
  static int count = 0;
  return count;
}
struct Registrar {
  Registrar(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

inline void report(const char* file, int line, const std::string& what) {
  ++failures();
  std::printf("%s:%d: FAILED %s\n", file, line, what.c_str());
}

inline int run_all(int argc, char** argv) {
  int ran = 0;
  int failed = 0;
  for (const Case& c : cases()) {
    if (argc > 1 && !std::strstr(c.name, argv[1])) continue;
    const int before = failures();
    try {
      c.body();
    } catch (const std::exception& e) {
      report(c.name, 0, std::string("exception: ") + e.what());
    }
    ++ran;
    if (failures() != before) {
      ++failed;
      std::printf("FAILED %s\n", c.name);
    }
  }
  std::printf("%d passed, %d failed\n", ran - failed, failed);
  return failed || ran == 0 ? 1 : 0;
}

}  // namespace g4::test

#define TEST(name)                                                   \
  static void test_##name();                                         \
  static ::g4::test::Registrar registrar_##name(#name, test_##name); \
  static void test_##name()

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) ::g4::test::report(__FILE__, __LINE__, #condition); \
  } while (0)

#define CHECK_EQ(a, b)                                    \
  do {                                                    \
    const auto& va_ = (a);                                \
    const auto& vb_ = (b);                                \
    if (!(va_ == vb_)) {                                  \
      std::ostringstream out_;                            \
      out_ << #a " == " #b ": " << va_ << " vs " << vb_;  \
      ::g4::test::report(__FILE__, __LINE__, out_.str()); \
    }                                                     \
  } while (0)

// The expression throws E and its message contains `text`.
#define CHECK_THROWS(expression, E, text)                                                                              \
  do {                                                                                                                 \
    try {                                                                                                              \
      (void)(expression);                                                                                              \
      ::g4::test::report(__FILE__, __LINE__, #expression " did not throw " #E);                                        \
    } catch (const E& e_) {                                                                                            \
      if (!std::strstr(e_.what(), text)) ::g4::test::report(__FILE__, __LINE__, std::string("message: ") + e_.what()); \
    }                                                                                                                  \
  } while (0)

#define G4_TEST_MAIN \
  int main(int argc, char** argv) { return ::g4::test::run_all(argc, argv); }
