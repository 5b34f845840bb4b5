// A kernel's declarations and statements, one by one: registers, labels and operands get their numbers here; what an
// opcode does is decode.cpp's business.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text.h"

namespace ptx {

class KernelParser {
 public:
  KernelParser(Kernel& kernel, std::string_view dynamic_shared)
      : kernel_(kernel), dynamic_shared_(dynamic_shared), scopes_(1) {}

  void parameter(std::string_view text) {
    take_word(text);  // .param
    const Variable v = variable(text);
    const std::size_t offset = aligned(kernel_.parameter_bytes, v.alignment);
    kernel_.parameters.push_back({offset, v.bytes});
    kernel_.parameter_bytes = offset + v.bytes;
    parameters_[std::string(v.name)] = offset;
  }

  void open() { scopes_.emplace_back(); }
  // Whether the body goes on.
  bool close() {
    scopes_.pop_back();
    return !scopes_.empty();
  }
  void label(std::string_view name) { labels_[std::string(name)] = static_cast<uint32_t>(kernel_.code.size()); }

  void statement(std::string_view text, uint32_t line) {
    if (text.starts_with('.')) return directive(text);
    Instruction instruction;
    instruction.line = line;
    instruction.text = text;
    if (text.starts_with('@')) {
      text.remove_prefix(1);
      instruction.guard_negated = text.starts_with('!');
      if (instruction.guard_negated) text.remove_prefix(1);
      instruction.guard = static_cast<int32_t>(register_of(take_word(text)));
    }
    std::size_t end = 0;
    while (end < text.size() && (is_word(text[end]) || text[end] == '.' || text[end] == ':')) ++end;
    const std::string_view opcode = text.substr(0, end);
    const auto operands = split(text.substr(end), ',');
    if (opcode == "bra" || opcode == "bra.uni") {
      instruction.kind = Kind::kBranch;
      branches_.push_back({kernel_.code.size(), std::string(operands.at(0))});
    } else {
      const bool stores = opcode.starts_with("st") || opcode.starts_with("red.") || opcode.starts_with("bar.") ||
                          opcode.starts_with("barrier.");
      const bool reduces = opcode.starts_with("bar.red") || opcode.starts_with("barrier.cta.red");
      for (std::size_t i = 0; i < operands.size(); ++i) {
        add_operand(instruction, operands[i], i == 0 && (!stores || reduces));
      }
      decode(opcode, instruction);
    }
    kernel_.code.push_back(instruction);
  }

  void finish() {
    kernel_.shared_bytes = aligned(kernel_.shared_bytes, 16);  // what is dynamic comes behind it
    for (const auto& [at, name] : branches_) {
      const auto found = labels_.find(name);
      if (found == labels_.end()) throw Fault("a branch to " + name + ", which is nowhere");
      kernel_.code[at].target = found->second;
    }
    Instruction end;
    end.kind = Kind::kExit;
    kernel_.code.push_back(end);
  }

 private:
  void directive(std::string_view text) {
    const std::string_view word = take_word(text);
    if (word == ".reg") {
      take_word(text);  // the type: every register is a cell
      for (const std::string_view name : split(text, ',')) {
        const std::size_t counted = name.find('<');
        if (counted == std::string_view::npos) {
          scopes_.back()[std::string(name)] = new_register();
        } else {
          const auto count = number(name.substr(counted + 1, name.find('>') - counted - 1));
          for (uint64_t i = 0; i < count.value(); ++i) {
            scopes_.back()[std::string(name.substr(0, counted)) + std::to_string(i)] = new_register();
          }
        }
      }
    } else if (word == ".shared") {
      const Variable v = variable(text);
      shared_[std::string(v.name)] = kernel_.shared_bytes = aligned(kernel_.shared_bytes, v.alignment);
      kernel_.shared_bytes += v.bytes;
    } else if (word == ".local") {
      const Variable v = variable(text);
      local_[std::string(v.name)] = kernel_.local_bytes = aligned(kernel_.local_bytes, v.alignment);
      kernel_.local_bytes += v.bytes;
    } else if (word != ".pragma" && word != ".loc" && word != ".file") {
      throw Fault("an unknown directive: " + std::string(word));
    }
  }

  void add_operand(Instruction& instruction, std::string_view text, bool result) {
    if (text.starts_with('{')) {
      for (const auto part : split(text.substr(1, text.size() - 2), ',')) add_operand(instruction, part, result);
      return;
    }
    if (text.starts_with('[')) {
      text = trimmed(text.substr(1, text.size() - 2));
      const std::size_t plus = text.find('+');
      if (plus != std::string_view::npos) {
        instruction.offset = static_cast<int64_t>(number(trimmed(text.substr(plus + 1))).value());
        text = trimmed(text.substr(0, plus));
      }
      result = false;
    }
    if (result && text.find('|') != std::string_view::npos) {
      for (const auto part : split(text, '|')) add_operand(instruction, part, true);
      return;
    }
    auto& place = result ? instruction.out.at(instruction.outs++) : instruction.in.at(instruction.ins++);
    place = operand(text);
  }

  Operand operand(std::string_view text) {
    Operand o;
    if (text.starts_with('!')) {
      o.negated = true;
      text = trimmed(text.substr(1));
    }
    if (const auto value = number(text)) return constant(*value);
    if (const auto special = special_register(text)) {
      o.index = *special;
      return o;
    }
    if (const auto found = shared_.find(std::string(text)); found != shared_.end()) return constant(found->second);
    o.index = register_of(text);
    return o;
  }

  // Cells set before the first instruction: parameters' and locals' addresses, %tid.x and the like.
  std::optional<uint32_t> special_register(std::string_view text) {
    const std::string name(text);
    if (const auto known = presets_.find(name); known != presets_.end()) return known->second;
    Preset preset{};
    using What = Preset::What;
    static const std::map<std::string_view, What> axes = {
        {"%tid", What::kThread}, {"%ctaid", What::kBlock}, {"%ntid", What::kBlockSize}, {"%nctaid", What::kGridSize}};
    static constexpr std::string_view masks[] = {"%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt",
                                                 "%lanemask_ge"};
    const std::size_t dot = text.find('.');
    if (const auto found = parameters_.find(name); found != parameters_.end()) {
      preset = {What::kParameter, 0, found->second};
    } else if (const auto depot = local_.find(name); depot != local_.end()) {
      preset = {What::kLocal, 0, depot->second};
    } else if (dot != std::string_view::npos && axes.contains(text.substr(0, dot))) {
      preset = {axes.at(text.substr(0, dot)), 0, static_cast<uint64_t>(text[dot + 1] - 'x')};
    } else if (text == dynamic_shared_) {
      preset = {What::kDynamicShared, 0, 0};
    } else if (text == "%laneid") {
      preset = {What::kLane, 0, 0};
    } else if (const auto* mask = std::find(std::begin(masks), std::end(masks), text); mask != std::end(masks)) {
      preset = {What::kLaneMask, 0, static_cast<uint64_t>(mask - std::begin(masks))};
    } else {
      return std::nullopt;
    }
    preset.index = new_register();
    kernel_.presets.push_back(preset);
    return presets_[name] = preset.index;
  }

  uint32_t new_register() { return kWarpSize * kernel_.registers++; }

  uint32_t register_of(std::string_view name) {
    if (name == "_") return new_register();  // a result that nobody wants
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(std::string(name)); found != scope->end()) return found->second;
    }
    throw Fault("an unknown name: " + std::string(name));
  }

  Operand constant(uint64_t value) {
    const auto [found, added] = constants_.try_emplace(value, static_cast<uint32_t>(kernel_.constants.size()));
    if (added) kernel_.constants.push_back(value);
    return {found->second, true, false};
  }

  Kernel& kernel_;
  std::string_view dynamic_shared_;  // the name of the shared memory whose size the launch says
  std::vector<std::map<std::string, uint32_t>> scopes_;
  std::map<std::string, std::size_t> parameters_, local_, shared_;
  std::map<std::string, uint32_t> presets_, labels_;
  std::map<uint64_t, uint32_t> constants_;
  std::vector<std::pair<std::size_t, std::string>> branches_;
};

}  // namespace ptx
