// Streams the tiles of C[M, N] = A[M, K] B[K, N] through one array and times it at its ports.
//
// The bench knows the order in which operands enter an array and results leave it, and no formula
// for how long that takes. One job per line on standard input:
//
//     variant holds_weights exchange skip_idle m n k period seed
//
// variant: index into the outputs of the design; holds_weights: 1 weight stationary, 0 output
// stationary; exchange: 1 holds A instead of B (input stationary: the array sees C^T = B^T A^T);
// skip_idle: 1 counts, and a serial controller waits for, results of columns that the tile uses
// only; period: cycles from one tile's start to the next one's, 0 = serial, a tile starts in the
// cycle after the last result of the one before.
//
// One line on standard output per job: ``tiles cycles correct``. Cycles run from the first operand
// or weight on an edge port to the last result on a registered output port, both included. Correct:
// every column delivered as many results as its tiles have, in order, and those that belong to the
// product are right bit for bit modulo 2^32. Idle ports carry noise.
//
// Built with -DROWS=.. -DCOLS=.. -DWIDTH=..; a bench derives from Bench and drives the ports.

#pragma once

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <vector>

#include "Varray.h"
#include "verilated.h"

using Matrix = std::vector<std::vector<int32_t>>;

struct Job {
    int variant = 0, holds_weights = 0, exchange = 0, skip_idle = 0;
    int m = 0, n = 0, k = 0, period = 0;
    uint64_t seed = 0;
};

/// Corner and used size of one array-sized piece of the product; ``start`` < 0: not started yet.
struct Tile {
    int m, n, k, height, width, depth;
    int64_t start = -1;
};

/// SplitMix64: the same numbers with every compiler and library.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15ULL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }
    /// A signed operand of WIDTH bits, never zero: zero would hide what happens to its partner.
    int32_t operand() {
        const uint32_t value = 1 + next() % ((1u << WIDTH) - 1);
        return static_cast<int32_t>(value << (32 - WIDTH)) >> (32 - WIDTH);
    }
    Matrix matrix(int rows, int cols) {
        Matrix result(rows, std::vector<int32_t>(cols));
        for (auto& row : result)
            for (auto& value : row) value = operand();
        return result;
    }

  private:
    uint64_t state_;
};

inline Matrix transposed(const Matrix& matrix) {
    Matrix result(matrix[0].size(), std::vector<int32_t>(matrix.size()));
    for (size_t i = 0; i < matrix.size(); i++)
        for (size_t j = 0; j < matrix[0].size(); j++) result[j][i] = matrix[i][j];
    return result;
}

class Bench {
  public:
    explicit Bench(const Job& job) : job_(job), random_(job.seed) {
        const Matrix a = random_.matrix(job.m, job.k), b = random_.matrix(job.k, job.n);
        x_ = job.exchange ? transposed(b) : a;
        y_ = job.exchange ? transposed(a) : b;
        cut_into_tiles(static_cast<int>(x_.size()), static_cast<int>(y_[0].size()));
        for (size_t t = 0; job.period && t < tiles_.size(); t++) tiles_[t].start = t * job.period;
        tiles_[0].start = 0;
        patience_ = 2 * (results_per_column(tiles_[0]) + job.k + 4 * ROWS + 2 * COLS + 16);
        patience_ += job.period;
    }
    virtual ~Bench() = default;

    void run() {
        context_.randReset(0);
        model_ = std::make_unique<Varray>(&context_);
        model_->rst = 1;
        for (now_ = -4 * (ROWS + COLS) - 8; now_ <= last_event_ + patience_; now_++) {
            if (now_ == -3 * (ROWS + COLS)) model_->rst = 0;
            if (drive()) {
                last_event_ = now_;
                if (first_in_ < 0) first_in_ = now_;
            }
            model_->clk = 0;
            model_->eval();
            if (now_ >= 0) collect();
            model_->clk = 1;
            model_->eval();
            if (!job_.period && now_ >= 0) start_next();
        }
        model_->final();
        std::cout << tiles_.size() << ' ' << last_out_ - first_in_ + 1 << ' ' << correct() << '\n';
    }

  protected:
    /// Sets every input port for cycle ``now_``; whether an operand or weight is on one of them.
    virtual bool drive() = 0;

    static uint32_t operand_bits(int64_t value) { return value & ((1u << WIDTH) - 1); }
    int results_per_column(const Tile& tile) const {
        return job_.holds_weights ? tile.height : ROWS;
    }

    Job job_;
    Random random_;
    Matrix x_, y_;
    std::vector<Tile> tiles_;
    VerilatedContext context_;  // outlives the model
    std::unique_ptr<Varray> model_;
    int64_t now_ = 0;

  private:
    /// The last tile is the one at the edge: columns outside, rows of the array inside.
    void cut_into_tiles(int m, int n) {
        for (int j = 0; j < n; j += COLS)
            for (int i = 0; i < (job_.holds_weights ? job_.k : m); i += ROWS) {
                const int width = std::min(COLS, n - j);
                if (job_.holds_weights)
                    tiles_.push_back({0, j, i, m, width, std::min(ROWS, job_.k - i)});
                else
                    tiles_.push_back({i, j, 0, std::min(ROWS, m - i), width, job_.k});
            }
    }

    void collect() {
        for (int j = 0; j < COLS; j++) {
            if (!model_->out_valid[job_.variant][j]) continue;
            seen_[j].push_back(model_->out_data[job_.variant][j]);
            last_event_ = now_;
            if (!job_.skip_idle || j < width_of_result(seen_[j].size())) last_out_ = now_;
        }
    }

    /// Columns used by the tile that a column's result number ``position`` (from 1) belongs to.
    int width_of_result(size_t position) const {
        for (const auto& tile : tiles_) {
            const size_t of_tile = results_per_column(tile);
            if (position <= of_tile) return tile.width;
            position -= of_tile;
        }
        return COLS;
    }

    /// Serial controller: the next tile starts once every awaited column has all its results.
    void start_next() {
        size_t awaited = 0, t = 0;
        for (; t < tiles_.size() && tiles_[t].start >= 0; t++)
            awaited += results_per_column(tiles_[t]);
        if (t == tiles_.size()) return;
        for (int j = 0; j < (job_.skip_idle ? tiles_[t - 1].width : COLS); j++)
            if (seen_[j].size() < awaited) return;
        tiles_[t].start = now_ + 1;
    }

    bool correct() const {
        for (int j = 0; j < COLS; j++) {
            size_t position = 0;
            for (const auto& tile : tiles_)
                for (int i = 0; i < results_per_column(tile); i++, position++) {
                    if (position >= seen_[j].size()) return false;
                    const int row = job_.holds_weights ? i : ROWS - 1 - i;
                    if (row < tile.height && j < tile.width &&
                        seen_[j][position] != reference(tile, tile.m + row, tile.n + j))
                        return false;
                }
            if (position != seen_[j].size()) return false;
        }
        return true;
    }

    /// A tile's share of one element of the product, modulo 2^32.
    uint32_t reference(const Tile& tile, int row, int column) const {
        uint32_t sum = 0;
        for (int i = tile.k; i < tile.k + tile.depth; i++)
            sum += static_cast<uint32_t>(x_[row][i]) * static_cast<uint32_t>(y_[i][column]);
        return sum;
    }

    std::vector<uint32_t> seen_[COLS];  // in the order of arrival
    int64_t first_in_ = -1, last_out_ = -1, last_event_ = 0, patience_ = 0;
};

template <class Design>
int run_jobs() {
    Job job;
    while (std::cin >> job.variant >> job.holds_weights >> job.exchange >> job.skip_idle >>
           job.m >> job.n >> job.k >> job.period >> job.seed)
        Design(job).run();
    return 0;
}
