// stmatrix and ldmatrix: a warp moves matrices of 8 x 8 16-bit values between registers and shared memory. Triton
// changes layouts with them.
#include <utility>

#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

enum : uint8_t { kStores = 1, kTransposed = 2 };

// As the PTX manual has it: lane 8 * m + r has the address of row r of matrix m; lane 4 * r + c has in its m-th
// register the values (r, 2 * c) and (r, 2 * c + 1) of matrix m, or of its transpose.
void move_matrices(Warp& warp, const Instruction& i, uint32_t) {
  SharedMemory& shared = warp.lanes[0].block->shared;
  const int matrices = i.mode & kStores ? i.ins - 1 : i.outs;
  for (int lane = 0; lane < kWarpSize; ++lane) {
    Thread& t = warp.lanes[lane];
    for (int m = 0; m < matrices; ++m) {
      auto value = i.mode & kStores ? t.get<uint32_t>(i.in[1 + m]) : 0;
      for (int half = 0; half < 2; ++half) {
        int row = lane / 4, column = 2 * (lane % 4) + half;
        if (i.mode & kTransposed) std::swap(row, column);
        const uint64_t begin = warp.lanes[8 * m + row].get<uint32_t>(i.in[0]) + static_cast<uint64_t>(i.offset);
        if (begin % 16 != 0) throw Fault("a misaligned row of a matrix");
        const uint64_t address = begin + 2 * static_cast<uint64_t>(column);
        auto part = static_cast<uint16_t>(value >> 16 * half);
        const auto* bytes = reinterpret_cast<const unsigned char*>(&part);
        if (i.mode & kStores) {
          shared.touch(address, 2, {false, true, false}, t.number, *warp.epoch, bytes);
          std::memcpy(shared.data() + address, bytes, 2);
        } else {
          shared.touch(address, 2, {true, false, false}, t.number, *warp.epoch, nullptr);
          std::memcpy(&part, shared.data() + address, 2);
          value |= uint32_t{part} << 16 * half;
        }
      }
      if (!(i.mode & kStores)) t.put<uint32_t>(i.out[m], value);
    }
  }
}

}  // namespace

bool decode_matrices(const Opcode& opcode, Instruction& i) {
  const bool stores = opcode.name() == "stmatrix";
  if ((!stores && opcode.name() != "ldmatrix") || !opcode.has("m8n8") || opcode.type() != "b16") return false;
  i.mode = static_cast<uint8_t>((stores ? kStores : 0) | (opcode.has("trans") ? kTransposed : 0));
  i.kind = Kind::kWarp;
  i.whole_warp = true;
  i.together = move_matrices;
  return true;
}

}  // namespace ptx
