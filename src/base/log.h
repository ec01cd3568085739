// Warnings to the user: one sink for the whole engine, stderr until somebody sets another.
#pragma once

#include <functional>
#include <string>

namespace g4 {

void warn(const std::string& message);
void set_warning_sink(std::function<void(const std::string&)> sink);

}  // namespace g4
