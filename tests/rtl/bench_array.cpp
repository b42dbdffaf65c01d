// Drives os_array.sv, or ws_array.sv when built with -DWEIGHT_STATIONARY: operands skewed by one
// cycle per row or column, control on the left edge with the row operands.

#include "bench.h"

namespace {

class ArrayBench : public Bench {
  public:
    using Bench::Bench;

  private:
    bool drive() override {
        noise();
        bool active = false;
        for (const auto& tile : tiles_) {  // the newest tile owns a port
            if (tile.start < 0 || now_ < tile.start) continue;
            const bool left = drive_left(tile, now_ - tile.start);
            const bool top = drive_top(tile, now_ - tile.start);
            active |= left || top;
        }
        return active;
    }

    void noise() {
        for (int i = 0; i < ROWS; i++) {
            model_->left[i] = operand_bits(random_.next());
            model_->valid[i] = 0;
            model_->first[i] = random_.next() & 1;
#ifndef WEIGHT_STATIONARY
            model_->last[i] = random_.next() & 1;
#endif
        }
        for (int j = 0; j < COLS; j++) model_->top[j] = operand_bits(random_.next());
#ifdef WEIGHT_STATIONARY
        model_->load_first = model_->load_last = 0;
#endif
    }

    /// Row operands with their control; rows that the tile does not use see zeros.
    bool drive_left(const Tile& tile, int64_t since) {
        const int length = job_.holds_weights ? tile.height : tile.depth;
        bool active = false;
        for (int i = 0; i < ROWS; i++) {
            const int64_t step = since - i - (job_.holds_weights ? ROWS : 0);
            if (step < 0 || step >= length) continue;
            int32_t value = 0;
            if (job_.holds_weights && i < tile.depth) value = x_[step][tile.k + i];
            if (!job_.holds_weights && i < tile.height) value = x_[tile.m + i][step];
            model_->left[i] = operand_bits(value);
            model_->valid[i] = 1;
            model_->first[i] = step == 0;
#ifndef WEIGHT_STATIONARY
            model_->last[i] = step == length - 1;
#endif
            active = true;
        }
        return active;
    }

    /// Column operands, or weights from the bottom row up; unused rows and columns get zeros.
    bool drive_top(const Tile& tile, int64_t since) {
        bool active = false;
        for (int j = 0; j < COLS; j++) {
            const int64_t step = since - j;
            if (step < 0 || step >= (job_.holds_weights ? ROWS : tile.depth)) continue;
            const int64_t row = job_.holds_weights ? ROWS - 1 - step : step;
            const bool used = j < tile.width && row < tile.depth;
            model_->top[j] = operand_bits(used ? y_[tile.k + row][tile.n + j] : 0);
            active = true;
        }
#ifdef WEIGHT_STATIONARY
        if (since < ROWS) {
            model_->load_first = since == 0;
            model_->load_last = since == ROWS - 1;
        }
#endif
        return active;
    }
};

}  // namespace

int main() { return run_jobs<ArrayBench>(); }
