// What a run's nodes take, added up by what they do: a table of op, count, milliseconds and share.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace g4::bench {

using Clock = std::chrono::steady_clock;

inline double milliseconds(Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// "matmul [6144, 1536] Q4_0": what nodes are added up by.
inline std::string label_of(const Graph& graph, const Node& node) {
  std::string label(node.op->name);
  for (const ValueId id : node.inputs) {
    const Tensor& t = graph.value(id).tensor;
    if (!t.buffer || (label.find("matmul") == std::string::npos && node.op->name != "embed")) continue;
    label += " [";
    for (int i = 0; i < t.shape.rank(); ++i) label += (i ? ", " : "") + std::to_string(t.shape[i]);
    label += "] " + std::string(name(t.dtype));
  }
  return label;
}

// times[n]: milliseconds of node n in several runs, whose medians count.
class OpTimes {
 public:
  // A run's nodes: milliseconds of each, or the times at which they were done.
  void add(const std::vector<double>& nodes) {
    times_.resize(std::max(times_.size(), nodes.size()));
    for (size_t n = 0; n < nodes.size(); ++n) times_[n].push_back(nodes[n]);
  }
  void add(Clock::time_point began, const std::vector<Clock::time_point>& ends) {
    std::vector<double> nodes;
    for (size_t n = 0; n < ends.size(); ++n) nodes.push_back(milliseconds(ends[n] - (n ? ends[n - 1] : began)));
    add(nodes);
  }

  double sum() const {
    double all = 0;
    for (const std::vector<double>& node : times_) all += median(node);
    return all;
  }

  // Of the nodes of one op.
  double sum(const Graph& graph, std::string_view op) const {
    double all = 0;
    for (size_t n = 0; n < times_.size(); ++n) all += graph.nodes()[n].op->name == op ? median(times_[n]) : 0;
    return all;
  }

  void print(const Graph& graph) const {
    struct Sum {
      int count = 0;
      double milliseconds = 0;
    };
    std::map<std::string, Sum> sums;
    for (size_t n = 0; n < times_.size(); ++n) {
      Sum& s = sums[label_of(graph, graph.nodes()[n])];
      ++s.count;
      s.milliseconds += median(times_[n]);
    }
    std::vector<std::pair<std::string, Sum>> rows(sums.begin(), sums.end());
    std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second.milliseconds > b.second.milliseconds; });
    std::printf("%-44s%8s%10s%8s\n", "op", "count", "ms", "%");
    for (const auto& [label, s] : rows)
      std::printf("%-44s%8d%10.3f%8.1f\n", label.c_str(), s.count, s.milliseconds, 100 * s.milliseconds / sum());
  }

 private:
  std::vector<std::vector<double>> times_;
};

}  // namespace g4::bench
