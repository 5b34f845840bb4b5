// What an opcode does: asks the families of instructions, one after the other.
#include "machine.h"
#include "types.h"

namespace ptx {
namespace {

void fence(Thread& t, const Instruction&) { t.block->order.fence(t.number); }

void nothing(Thread&, const Instruction&) {}

void wait_for_earlier(Thread& t, const Instruction&) { t.may_go_on = t.block->has_waited = true; }

void let_later_come(Thread& t, const Instruction&) {
  if (!t.may_go_on) throw Fault("lets later kernels come before what came before it has ended");
}

}  // namespace

void decode(std::string_view text, Instruction& i) {
  const Opcode opcode(text);
  const std::string_view name = opcode.name();
  if (name == "ret" || name == "exit") {
    i.kind = Kind::kExit;
  } else if ((name == "membar" && !opcode.has("cta")) ||
             (name == "fence" && !opcode.has("proxy") && (opcode.has("gpu") || opcode.has("sys")))) {
    i.run = each<fence>;
  } else if (name == "membar" || name == "fence" || name == "nanosleep" || name == "prefetch") {
    i.run = each<nothing>;  // memory is the host's: in order
  } else if (name == "griddepcontrol") {
    i.run = opcode.has("wait") ? each<wait_for_earlier> : each<let_later_come>;
  } else if (name == "barrier" && opcode.has("cluster")) {
    if (opcode.has("relaxed")) throw Fault("an unknown instruction");
    if (opcode.has("arrive")) {
      i.run = each<arrive_at_cluster>;
    } else {
      i.kind = Kind::kBarrier;
      i.of_cluster = true;
    }
  } else if ((name == "bar" || name == "barrier") && !opcode.has("warp")) {
    if (opcode.has("arrive")) throw Fault("an unknown instruction");
    i.kind = Kind::kBarrier;
    i.mode = !opcode.has("red") ? 0 : opcode.has("and") ? 1 : opcode.has("or") ? 2 : 3;
  } else if (!decode_together(opcode, i) && !decode_matrices(opcode, i) && !decode_memory(opcode, i) &&
             !decode_conversion(opcode, i) && !decode_predicates(opcode, i) && !decode_bits(opcode, i) &&
             !decode_arithmetic(opcode, i)) {
    throw Fault("an unknown instruction");
  }
}

}  // namespace ptx
