#include "tokenizer/tokenizer.h"

#include "bindings/bindings.h"
#include "tokenizer/detokenizer.h"

namespace g4 {

void bind_tokenizer(py::module_& m) {
  py::class_<Tokenizer, std::shared_ptr<Tokenizer>>(m, "Tokenizer")
      .def(py::init([](const std::shared_ptr<GgufFile>& file) {
             py::gil_scoped_release release;
             return std::const_pointer_cast<Tokenizer>(Tokenizer::from_gguf(*file));
           }),
           py::arg("file"))
      .def_property_readonly("n_tokens", &Tokenizer::n_tokens)
      .def_property_readonly("model", &Tokenizer::model)
      .def_property_readonly("add_bos", &Tokenizer::add_bos)
      .def_property_readonly("bos_id", &Tokenizer::bos_id)
      .def_property_readonly("eos_id", &Tokenizer::eos_id)
      .def_property_readonly("stop_ids", &Tokenizer::stop_ids)
      .def_property_readonly("suppress_ids", &Tokenizer::suppress_ids)
      .def_property_readonly("chat_template",
                             [](const Tokenizer& t) {
                               const auto& text = t.chat_template();
                               return text ? py::object(text_of(*text)) : py::none();
                             })
      .def(
          "encode",
          [](const Tokenizer& t, const std::string& text, std::optional<bool> add_bos, bool parse_special) {
            std::vector<int32_t> ids;
            {
              py::gil_scoped_release release;
              ids = t.encode(text, add_bos, parse_special);
            }
            return ids;
          },
          py::arg("text"), py::arg("add_bos") = py::none(), py::arg("parse_special") = true)
      .def(
          "decode",
          [](const Tokenizer& t, const std::vector<int32_t>& ids, bool keep_special) {
            return t.decode(ids, keep_special);
          },
          py::arg("ids"), py::arg("keep_special") = false)
      .def("find", &Tokenizer::find, py::arg("text"))
      .def(
          "token_text", [](const Tokenizer& t, int32_t id) { return text_of(t.token_text(id)); }, py::arg("id"))
      .def("is_special", &Tokenizer::is_special, py::arg("id"));

  py::class_<Detokenizer>(m, "Detokenizer")
      .def(
          py::init([](const std::shared_ptr<Tokenizer>& t, bool keep_special) { return Detokenizer(t, keep_special); }),
          py::arg("tokenizer"), py::arg("keep_special") = false)
      .def("push", &Detokenizer::push, py::arg("id"))
      .def("flush", &Detokenizer::flush);
}

}  // namespace g4
