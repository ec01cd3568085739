// Errors every layer throws. A message reads "[place] what: numbers", one line.
// Each class becomes a Python exception of the same name in g4cpp.errors.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace g4 {

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

// A malformed, truncated or foreign GGUF file.
class GgufError : public Error {
  using Error::Error;
};
// A well-formed file whose contents are not a model this engine can run.
class ModelError : public Error {
  using Error::Error;
};
// A caller's argument is out of range or of the wrong kind.
class ArgumentError : public Error {
  using Error::Error;
};
// A prompt or a generation that does not fit in the context.
class ContextOverflowError : public Error {
 public:
  ContextOverflowError(long long tokens, long long context)
      : Error("[context] " + std::to_string(tokens) + " tokens do not fit in a context of " + std::to_string(context)),
        n_tokens(tokens),
        n_ctx(context) {}
  long long n_tokens;
  long long n_ctx;
};
// A memory plan that does not fit the machine, or an allocation that failed.
class MemoryError : public Error {
  using Error::Error;
};
// An unknown or unusable device.
class DeviceError : public Error {
  using Error::Error;
};
// A file that cannot be opened, read, mapped or written.
class FileError : public Error {
  using Error::Error;
};
class MissingFileError : public FileError {
  using FileError::FileError;
};
// The caller's poll asked the computation to stop (Ctrl-C).
class Interrupted : public Error {
  using Error::Error;
};
// A broken invariant of the engine itself: a bug.
class InternalError : public Error {
  using Error::Error;
};

template <class... Parts>
std::string concat(Parts&&... parts) {
  std::ostringstream out;
  (out << ... << std::forward<Parts>(parts));
  return out.str();
}

// Throws E("[place] parts...").
template <class E, class... Parts>
[[noreturn]] void fail(const char* place, Parts&&... parts) {
  throw E(concat("[", place, "] ", std::forward<Parts>(parts)...));
}

}  // namespace g4

// An invariant: throws InternalError with the condition and the place.
#define G4_CHECK(condition, ...)                                                       \
  do {                                                                                 \
    if (!(condition)) [[unlikely]]                                                     \
      ::g4::fail<::g4::InternalError>("internal", __FILE__, ":", __LINE__,             \
                                      ": " #condition " " __VA_OPT__(, ) __VA_ARGS__); \
  } while (0)
