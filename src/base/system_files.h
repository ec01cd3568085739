// The small text files in which Linux describes itself (/proc, /sys).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace g4 {

// The first word of a file as a number; nothing for "max", what is below 0 and files that are not there.
std::optional<int64_t> number_in(const std::string& path);

}  // namespace g4
