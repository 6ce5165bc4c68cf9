// How events read.
#include "parallel/watchdog/record/events.h"

#include <gtest/gtest.h>

namespace switchyard::parallel {
namespace {

Event event(EventKind kind, std::int32_t unit, std::int32_t layer) {
  Event event;
  event.kind = kind;
  event.place = {kernels::Phase::backward, 17, unit, layer};
  event.collective = Collective::all_reduce;
  event.call = 7;
  event.group = {'d', 'a', 't', 'a'};
  return event;
}

TEST(Event, SaysWhatItWaitsForOrDoes) {
  EXPECT_EQ(event(EventKind::entered, 2, 3).what(), "waits in all_reduce #7 of data");
  EXPECT_EQ(event(EventKind::waits, 2, 3).what(), "waits in all_reduce #7 of data");
  EXPECT_EQ(event(EventKind::closing, 2, 3).what(), "waits for all ranks to close");
  for (const EventKind kind : {EventKind::place, EventKind::started, EventKind::left}) {
    EXPECT_EQ(event(kind, 2, 3).what(), "backward, layer 3");
    EXPECT_EQ(event(kind, 2, -1).what(), "backward");
    EXPECT_FALSE(event(kind, 2, 3).is_waiting());
  }
}

TEST(Event, SaysWhereItWas) {
  EXPECT_EQ(event(EventKind::place, 2, 3).where(), "step 17, micro-batch 2, backward, layer 3");
  EXPECT_EQ(event(EventKind::place, -1, -1).where(), "step 17, backward");
}

}  // namespace
}  // namespace switchyard::parallel
