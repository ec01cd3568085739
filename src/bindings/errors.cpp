// C++ errors become the classes of g4cpp.errors, looked up by name when one is thrown.
#include <new>

#include "base/error.h"
#include "bindings/bindings.h"

namespace g4 {
namespace {

void raise(const char* name, const py::object& arguments) {
  const py::object type = py::module_::import("g4cpp.errors").attr(name);
  PyErr_SetObject(type.ptr(), arguments.ptr());
}

void raise(const char* name, const std::exception& e) { raise(name, py::make_tuple(text_of(e.what()))); }

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const ContextOverflowError& e) {
    raise("ContextOverflowError", py::make_tuple(text_of(e.what()), e.n_tokens, e.n_ctx));
  } catch (const GgufError& e) {
    raise("GGUFError", e);
  } catch (const ModelError& e) {
    raise("ModelError", e);
  } catch (const ArgumentError& e) {
    raise("ArgumentError", e);
  } catch (const MemoryError& e) {
    raise("MemoryPlanError", e);
  } catch (const std::bad_alloc&) {
    raise("MemoryPlanError", py::make_tuple("[memory] an allocation failed"));
  } catch (const DeviceError& e) {
    raise("DeviceError", e);
  } catch (const MissingFileError& e) {
    raise("MissingFileError", e);
  } catch (const FileError& e) {
    raise("FileError", e);
  } catch (const Error& e) {
    raise("G4Error", e);
  }
}

}  // namespace

void bind_errors() { py::register_exception_translator(translate); }

}  // namespace g4
