#include "backends/registry.h"
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, m) {
  m.doc() = "The C++ core of g4cpp.";
  m.attr("build_id") = g4::build_id();
  g4::load_installed_backends();
  g4::bind_errors();
  g4::bind_gguf(m);
  g4::bind_quant(m);
  g4::bind_tokenizer(m);
  g4::bind_sampler(m);
  g4::bind_engine(m);
  g4::bind_media(m);
}
