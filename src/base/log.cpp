#include "base/log.h"

#include <cstdio>
#include <mutex>

namespace g4 {
namespace {
std::mutex mutex;
std::function<void(const std::string&)> sink_;
}  // namespace

void warn(const std::string& message) {
  std::lock_guard lock(mutex);
  if (sink_)
    sink_(message);
  else
    std::fprintf(stderr, "g4cpp: %s\n", message.c_str());
}

void set_warning_sink(std::function<void(const std::string&)> sink) {
  std::lock_guard lock(mutex);
  sink_ = std::move(sink);
}

}  // namespace g4
