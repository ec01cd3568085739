#include "runtime/sampler.h"

#include "bindings/bindings.h"

namespace g4 {

void bind_sampler(py::module_& m) {
  py::class_<Sampler>(m, "Sampler")
      .def(
          py::init([](double temperature, int64_t top_k, double top_p, double min_p, double repetition_penalty,
                      double presence_penalty, double frequency_penalty, int64_t penalty_window,
                      const std::map<int32_t, float>& logit_bias, const std::vector<int32_t>& suppress, uint64_t seed) {
            SamplerOptions o;
            o.temperature = temperature;
            o.top_k = top_k;
            o.top_p = top_p;
            o.min_p = min_p;
            o.repetition_penalty = repetition_penalty;
            o.presence_penalty = presence_penalty;
            o.frequency_penalty = frequency_penalty;
            o.penalty_window = penalty_window;
            o.logit_bias.assign(logit_bias.begin(), logit_bias.end());
            o.suppress = suppress;
            o.seed = seed;
            return Sampler(std::move(o));
          }),
          py::kw_only(), py::arg("temperature") = 1.0, py::arg("top_k") = 64, py::arg("top_p") = 0.95,
          py::arg("min_p") = 0.0, py::arg("repetition_penalty") = 1.0, py::arg("presence_penalty") = 0.0,
          py::arg("frequency_penalty") = 0.0, py::arg("penalty_window") = 64,
          py::arg("logit_bias") = std::map<int32_t, float>(), py::arg("suppress") = std::vector<int32_t>(),
          py::arg("seed") = 0)
      .def("accept", &Sampler::accept, py::arg("token"))
      .def(
          "sample", [](Sampler& s, const FloatArray& logits) { return s.sample(floats_of(logits)); },
          py::arg("logits"));
}

}  // namespace g4
