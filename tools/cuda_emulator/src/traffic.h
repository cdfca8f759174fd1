// What the scheduler tells the counters.
#pragma once

namespace emulation {

void begin_launch();
void end_block();

}  // namespace emulation
