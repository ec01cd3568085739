#include "model/text_model.h"

#include "model/gemma3/gemma3.h"
#include "model/gemma4/gemma4.h"

namespace g4 {

const TextModelVariant& text_model_variant(const GgufFile& file) {
  static const TextModelVariant* const kVariants[] = {&gemma4::variant, &gemma3::variant};
  const GgufValue* value = file.find("general.architecture");
  if (!value) fail<ModelError>("model", file.path(), ": no general.architecture");
  const std::string_view architecture = value->as_string();
  std::string known;
  for (const TextModelVariant* v : kVariants) {
    if (architecture == v->architecture) return *v;
    known += concat(known.empty() ? "" : ", ", v->architecture);
  }
  fail<ModelError>("model", file.path(), ": architecture '", architecture, "' is not supported; there are ", known);
}

}  // namespace g4
