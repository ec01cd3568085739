// Calls back into Python while C++ computes without the GIL.
#pragma once

#include <chrono>
#include <optional>

#include "backends/backend.h"
#include "bindings/bindings.h"

namespace g4 {

// Calls a Python function, if there is one, at most every 50 ms, and lets Ctrl-C through. The caller keeps the
// function.
class Throttle {
 public:
  explicit Throttle(const std::optional<py::function>& function)
      : function_(function ? function->ptr() : nullptr), last_(Clock::now()) {}

  template <class... Arguments>
  void call(bool at_once, Arguments... arguments) {
    if (!at_once && Clock::now() - last_ < std::chrono::milliseconds(50)) return;
    last_ = Clock::now();
    py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (function_) py::reinterpret_borrow<py::function>(function_)(arguments...);
  }

 private:
  using Clock = std::chrono::steady_clock;
  PyObject* function_;
  Clock::time_point last_;
};

inline Poll throttled(const std::optional<py::function>& poll) {
  return [throttle = Throttle(poll)]() mutable { throttle.call(false); };
}

}  // namespace g4
