// From PTX text to kernels.
#include <memory>

#include "kernel_parser.h"

namespace ptx {
namespace {

// The text piece by piece.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool at_end() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) step();
    return at_ == text_.size();
  }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    step();
    return true;
  }
  bool starts_with(std::string_view word) { return !at_end() && text_.substr(at_).starts_with(word); }
  // Up to one of these, which is taken as well.
  std::string_view until(std::string_view ends) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && ends.find(text_[at_]) == std::string_view::npos) step();
    const auto piece = trimmed(text_.substr(begin, at_ - begin));
    if (at_ < text_.size()) step();
    return piece;
  }
  // A label and its colon, if that is what comes.
  std::string_view label() {
    std::size_t end = at_;
    while (end < text_.size() && is_word(text_[end])) ++end;
    if (end == at_ || end + 1 >= text_.size() || text_[end] != ':' || text_[end + 1] == ':') return {};
    const auto name = text_.substr(at_, end - at_);
    at_ = end + 1;
    return name;
  }
  uint32_t line() const { return line_; }

 private:
  void step() { line_ += text_[at_++] == '\n'; }

  std::string_view text_;
  std::size_t at_ = 0;
  uint32_t line_ = 1;
};

void body(Scanner& scanner, KernelParser& kernel) {
  while (!scanner.at_end()) {
    if (scanner.take('{')) {
      kernel.open();
    } else if (scanner.take('}')) {
      if (!kernel.close()) return kernel.finish();
    } else if (scanner.starts_with(".loc")) {
      scanner.until("\n");
    } else if (const auto name = scanner.label(); !name.empty()) {
      kernel.label(name);
    } else {
      const uint32_t line = scanner.line();
      const auto text = scanner.until(";");
      try {
        kernel.statement(text, line);
      } catch (const std::exception& error) {
        throw Fault("line " + std::to_string(line) + ", " + std::string(text) + ": " + error.what());
      }
    }
  }
  throw Fault("a kernel without an end");
}

void without_comments(std::string& text) {
  for (std::size_t at = text.find("//"); at != std::string::npos; at = text.find("//", at)) {
    for (; at < text.size() && text[at] != '\n'; ++at) text[at] = ' ';
  }
}

}  // namespace

std::unique_ptr<Module> parse(std::string text) {
  auto module = std::make_unique<Module>();
  without_comments(text);
  module->text = std::move(text);
  Scanner scanner(module->text);
  std::string_view dynamic_shared;
  while (!scanner.at_end()) {
    if (scanner.starts_with(".version") || scanner.starts_with(".target") || scanner.starts_with(".address_size") ||
        scanner.starts_with(".file")) {
      scanner.until("\n");
      continue;
    }
    if (scanner.starts_with(".section")) {
      scanner.until("}");
      continue;
    }
    std::string_view declaration = scanner.until(";(");
    if (const auto entry = declaration.find(".entry"); entry != std::string_view::npos) {
      declaration.remove_prefix(entry);
      take_word(declaration);
      Kernel& kernel = module->kernels[std::string(take_word(declaration))];
      KernelParser parser(kernel, dynamic_shared);
      for (const auto parameter : split(scanner.until(")"), ',')) parser.parameter(parameter);
      scanner.until("{");  // .maxntid and the like
      body(scanner, parser);
    } else if (declaration.starts_with(".extern .shared")) {
      take_word(declaration);
      take_word(declaration);
      dynamic_shared = variable(declaration).name;
    }  // else a global variable, of which there are none that matter: one that is used is an unknown name
  }
  for (auto& [name, kernel] : module->kernels) kernel.name = name;
  return module;
}

}  // namespace ptx
