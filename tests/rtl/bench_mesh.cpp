// Drives gemmini_mesh.sv. A slot is a cycle as PE (0, 0) of the edge sees it; row i and column j of
// the ports see it i and j cycles later. Control enters at the top with the column operands.

#include "bench.h"

namespace {

constexpr int kPingPong = 0;

class MeshBench : public Bench {
  public:
    using Bench::Bench;

  private:
    bool drive() override {
        model_->holds_weights = job_.holds_weights;
        bool active = false;
        for (int i = 0; i < ROWS; i++) active |= drive_left(i, now_ - i);
        for (int j = 0; j < COLS; j++) active |= drive_top(j, now_ - j);
        return active;
    }

    /// The newest tile that has operands for this slot: rows of A, and columns of B with them (os).
    const Tile* computing(int64_t slot) const {
        for (auto tile = tiles_.rbegin(); tile != tiles_.rend(); ++tile) {
            const int64_t step = slot - first_operand(*tile);
            const int length = job_.holds_weights ? tile->height : tile->depth;
            if (tile->start >= 0 && step >= 0 && step < length) return &*tile;
        }
        return nullptr;
    }

    /// The newest tile whose weights load in this slot.
    const Tile* loading(int64_t slot) const {
        for (auto tile = tiles_.rbegin(); tile != tiles_.rend(); ++tile)
            if (job_.holds_weights && tile->start >= 0 && slot >= tile->start &&
                slot < tile->start + ROWS)
                return &*tile;
        return nullptr;
    }

    int64_t first_operand(const Tile& tile) const {
        return tile.start + (job_.holds_weights ? ROWS : 0);
    }

    /// Slots in which the registers swap roles; with one accumulator, in which it starts to drain.
    /// A sum waits for the end of its tile, for the next tile, and for the drain before it.
    std::vector<int64_t> flips() const {
        std::vector<int64_t> slots;
        for (size_t t = 0; t < tiles_.size() && tiles_[t].start >= 0; t++) {
            if (job_.holds_weights) {
                slots.push_back(first_operand(tiles_[t]));
                continue;
            }
            int64_t slot = tiles_[t].start + tiles_[t].depth;
            const bool forced = job_.period && t + 1 < tiles_.size();
            if (job_.variant == kPingPong && forced)
                slot = tiles_[t + 1].start;
            else if (!slots.empty())
                slot = std::max(slot, slots.back() + ROWS);
            slots.push_back(slot);
        }
        return slots;
    }

    bool drive_left(int i, int64_t slot) {
        const Tile* tile = computing(slot);
        int32_t value = 0;
        if (tile && job_.holds_weights && i < tile->depth)
            value = x_[slot - first_operand(*tile)][tile->k + i];
        if (tile && !job_.holds_weights && i < tile->height)
            value = x_[tile->m + i][slot - first_operand(*tile)];
        model_->left[i] = operand_bits(tile || holds(slot) ? value : random_.next());
        return tile != nullptr;
    }

    /// Whether registers change in this slot, operands or not: draining, or around the cold start.
    bool holds(int64_t slot) const { return draining(slot) || zeroing(slot); }

    /// Zeros enter the first accumulator in the R slots before the start. The second one gets its
    /// zeros while the first tile accumulates, or before that if tiles are serial (a tile may then
    /// be done in less than R slots).
    bool zeroing(int64_t slot) const {
        return slot >= first_zero() && slot < (serial() ? 0 : ROWS);
    }
    int64_t first_zero() const { return serial() ? -2 * ROWS : -ROWS; }
    bool serial() const { return job_.period == 0 || tiles_.size() == 1; }

    bool draining(int64_t slot) const {
        if (job_.holds_weights) return false;
        for (const int64_t flip : flips())
            if (slot >= flip && slot < flip + ROWS) return true;
        return false;
    }

    bool drive_top(int j, int64_t slot) {
        const Tile* tile = computing(slot);
        const Tile* load = loading(slot);
        const bool drains = draining(slot), works = tile || load || holds(slot);
        const std::vector<int64_t> swaps = flips();
        const int64_t swapped =
            std::count_if(swaps.begin(), swaps.end(), [&](int64_t flip) { return flip <= slot; });
        int32_t b = 0, d = 0;
        if (tile && !job_.holds_weights && j < tile->width)
            b = y_[slot - tile->start][tile->n + j];
        if (load) {
            const int64_t row = ROWS - 1 - (slot - load->start);
            if (row < load->depth && j < load->width) d = y_[load->k + row][load->n + j];
        }
        model_->top_b[j] = works ? static_cast<uint32_t>(b) : random_.next();
        model_->top_d[j] = works ? static_cast<uint32_t>(d) : random_.next();
        const bool noise = slot < first_zero();  // both registers start with anything in them
        model_->valid[j] = works || noise;
        if (job_.variant == kPingPong)
            model_->propagate[j] = (swapped + (slot >= -ROWS && slot < 0)) % 2;
        else
            model_->propagate[j] = !tile && works;
        if (noise) model_->propagate[j] = random_.next() & 1;
        model_->result[j] = job_.holds_weights ? tile != nullptr : drains && !shortened(tile);
        return (tile && !job_.holds_weights) || load;
    }

    /// One accumulator cannot drain while it accumulates.
    bool shortened(const Tile* tile) const { return job_.variant != kPingPong && tile; }
};

}  // namespace

int main() { return run_jobs<MeshBench>(); }
