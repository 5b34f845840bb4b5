// Words, numbers, types and variables, as PTX spells them.
#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "module.h"

namespace ptx {

inline std::string_view trimmed(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return s;
}

inline bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%'; }

// Takes the next word off the front: a name, or a directive with its dot.
inline std::string_view take_word(std::string_view& s) {
  s = trimmed(s);
  std::size_t end = !s.empty() && s.front() == '.' ? 1 : 0;
  while (end < s.size() && is_word(s[end])) ++end;
  const std::string_view word = s.substr(0, end);
  s = trimmed(s.substr(end));
  return word;
}

inline std::vector<std::string_view> split(std::string_view s, char separator) {
  std::vector<std::string_view> parts;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= s.size(); ++i) {
    if (i < s.size() && (s[i] == '{' || s[i] == '[')) ++depth;
    if (i < s.size() && (s[i] == '}' || s[i] == ']')) --depth;
    if (i == s.size() || (s[i] == separator && depth == 0)) {
      if (const auto part = trimmed(s.substr(begin, i - begin)); !part.empty()) parts.push_back(part);
      begin = i + 1;
    }
  }
  return parts;
}

inline std::optional<uint64_t> number(std::string_view s) {
  bool negative = false;
  if (!s.empty() && s.front() == '-') {
    negative = true;
    s.remove_prefix(1);
  }
  int base = 10;
  bool single = false;
  if (s.size() > 2 && s[0] == '0') {
    single = s[1] == 'f' || s[1] == 'F';  // 0f3F800000: the bits of a float; 0d…: of a double
    if (single || s[1] == 'd' || s[1] == 'D' || s[1] == 'x' || s[1] == 'X') {
      base = 16;
      s.remove_prefix(2);
    }
  }
  if (base == 10 && s.ends_with('U')) s.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value, base);
  if (s.empty() || error != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return negative ? 0 - value : value;
}

inline std::size_t bytes_of(std::string_view type) {
  if (type == ".pred") return 1;
  const auto bits = number(type.substr(2));
  if (!bits || *bits % 8 != 0) throw Fault("an unknown type: " + std::string(type));
  return *bits / 8;
}

inline std::size_t aligned(std::size_t offset, std::size_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

// ".align 8 .b8 name[64]", what follows .shared, .local or .param.
struct Variable {
  std::string_view name;
  std::size_t alignment = 0, bytes = 0;
  bool unsized = false;
};

inline Variable variable(std::string_view rest) {
  Variable v;
  std::string_view word = take_word(rest);
  std::size_t element = 0;
  for (; word.starts_with('.'); word = take_word(rest)) {
    if (word == ".align") {
      v.alignment = *number(take_word(rest));
    } else if (word == ".ptr" || word == ".global" || word == ".shared") {
      continue;  // a hint about a pointer parameter
    } else {
      element = bytes_of(word);
    }
  }
  v.name = word;
  v.alignment = std::max(v.alignment, element);
  v.bytes = element;
  if (rest.starts_with('[')) {
    const auto count = number(trimmed(rest.substr(1, rest.find(']') - 1)));
    v.unsized = !count;
    v.bytes = element * count.value_or(0);
  }
  return v;
}

}  // namespace ptx
