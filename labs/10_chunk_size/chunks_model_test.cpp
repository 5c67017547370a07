#include "chunks_model.hpp"

#include <gtest/gtest.h>

namespace lab::chunks {
namespace {

TEST(Model, OneChunkIsTheLoopAndOneDispatch) {
  const Model model{.work = 2, .streamed = 0.25, .woken = 0.25, .workers = 4};
  EXPECT_DOUBLE_EQ(model.seconds(1), 2.25);
}

TEST(Model, TwoChunksTakeHalfWhateverThePoolsSize) {
  for (const std::size_t workers : {2, 4, 64}) EXPECT_DOUBLE_EQ((Model{1, 0, 0, workers}.seconds(2)), 0.5);
}

// The shares of the book's sawtooth with four workers.
TEST(Model, TheTeethAreWhereTheBookHasThem) {
  const Model model{.work = 1, .workers = 4};
  const std::pair<std::size_t, double> shares[]{{1, 1},       {2, 0.5},     {3, 1 / 3.0},  {4, 0.25},
                                                {5, 0.4},     {6, 1 / 3.0}, {7, 2 / 7.0},  {8, 0.25},
                                                {9, 3 / 9.0}, {16, 0.25},   {17, 5 / 17.0}};
  for (const auto& [chunks, share] : shares) EXPECT_DOUBLE_EQ(model.seconds(chunks), share) << chunks;
}

TEST(Model, MinimaAreAtMultiplesOfTheWorkersAndTeethShrink) {
  for (std::size_t workers = 2; workers <= 16; ++workers) {
    const Model model{.work = 1, .workers = workers};
    double last = 1;
    for (std::size_t k = 1; k <= 8; ++k) {
      EXPECT_DOUBLE_EQ(model.busiest_share(k * workers), 1.0 / static_cast<double>(workers));
      const double tooth = model.seconds(k * workers + 1) / model.seconds(k * workers) - 1;
      EXPECT_GT(tooth, 0);
      EXPECT_LT(tooth, last);
      last = tooth;
    }
  }
}

TEST(Model, SmallChunksPayForTheirNumber) {
  const Model model{.work = 0.1, .streamed = 1e-6, .woken = 1e-6, .workers = 2};
  EXPECT_NEAR(model.seconds(100'000), 0.05 + 0.1, 1e-12);
  EXPECT_NEAR(model.seconds(50'000), 0.05 + 0.05, 1e-12);
  EXPECT_NEAR(model.seconds(100), 0.05 + 1e-4, 1e-12);
}

TEST(Model, AChunkCostsBetweenAStreamedAndAWokenOneTheMoreTheLongerItTakes) {
  const Model model{.work = 0.1, .streamed = 2e-6, .woken = 14e-6, .workers = 2};
  double last = model.streamed;
  for (const std::size_t chunks : {10'000'000, 100'000, 10'000, 1'000, 100, 10}) {
    EXPECT_GT(model.dispatch(chunks), last);
    EXPECT_LT(model.dispatch(chunks), model.woken);
    last = model.dispatch(chunks);
  }
  EXPECT_NEAR(last, model.woken, 0.1e-6);
  EXPECT_NEAR(model.dispatch(10'000'000), model.streamed, 0.1e-6);
}

TEST(SizeOf, MakesAsManyChunksAsAsked) {
  for (const std::size_t items : {10'000, 50'000, 100'000}) {
    for (std::size_t chunks = 1; chunks <= 65; ++chunks) EXPECT_EQ(rounded_up(items, size_of(items, chunks)), chunks);
  }
  EXPECT_EQ(size_of(3, 5), 1u);  // never more than there are items
}

}  // namespace
}  // namespace lab::chunks
