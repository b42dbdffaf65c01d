// A mesh after the public description of the Gemmini generator: registers in front of every PE,
// control that moves down the columns with b and d, and two registers c1, c2 per PE that swap roles
// at each flip of ``propagate``. Written for this proof; the generator's own output is not used.
//
//   output stationary  one register accumulates a x b, the other takes d and passes its old value
//                      down: results leave and the next tile's initial values enter
//   weight stationary  one register multiplies a and adds to the sum on b, the other takes d:
//                      the next tile's weights move down
//   PINGPONG           0: one accumulator that either accumulates or moves (output stationary)

module gemmini_pe #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit PINGPONG = 1
) (
    input  logic                  clk,
    input  logic                  holds_weights,
    input  logic signed [W-1:0]   a,
    input  logic signed [ACC-1:0] b,
    input  logic signed [ACC-1:0] d,
    input  logic                  propagate,
    input  logic                  valid,
    output logic signed [ACC-1:0] b_next,
    output logic signed [ACC-1:0] d_next
);
    logic signed [ACC-1:0] c1, c2, kept, moved, sum, product;
    logic signed [W-1:0] factor;

    // Signals that only some settings of the parameter or of the dataflow look at.
    logic unused;
    assign unused = &{1'b0, moved};

    assign kept = propagate ? c2 : c1;
    assign moved = propagate ? c1 : c2;
    assign factor = holds_weights ? kept[W-1:0] : b[W-1:0];
    assign product = ACC'(a) * ACC'(factor);
    assign sum = kept + product;
    assign b_next = holds_weights ? b + product : b;

    if (PINGPONG) begin : gen_two
        assign d_next = moved;
        always_ff @(posedge clk) begin
            if (valid && propagate) c1 <= d;
            else if (valid && !holds_weights) c1 <= sum;
            if (valid && !propagate) c2 <= d;
            else if (valid && !holds_weights) c2 <= sum;
        end
    end else begin : gen_one
        assign c2 = '0;
        assign d_next = c1;
        always_ff @(posedge clk) if (valid) c1 <= propagate ? d : sum;
    end
endmodule

module gemmini_mesh #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit PINGPONG = 1
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  holds_weights,
    input  logic signed [W-1:0]   left      [R],
    input  logic signed [ACC-1:0] top_b     [C],
    input  logic signed [ACC-1:0] top_d     [C],
    input  logic                  propagate [C],
    input  logic                  valid     [C],
    input  logic                  result    [C],  // a result leaves with this slot
    output logic signed [ACC-1:0] out_data  [C],
    output logic                  out_valid [C]
);
    logic signed [W-1:0] a[R][C+1];
    logic signed [ACC-1:0] b[R+1][C], d[R+1][C];
    logic v[R+1][C], p[R+1][C], t[R+1][C];

    for (genvar i = 0; i < R; i++) begin : gen_left
        assign a[i][0] = left[i];
    end

    for (genvar j = 0; j < C; j++) begin : gen_column
        assign b[0][j] = top_b[j];
        assign d[0][j] = top_d[j];
        assign p[0][j] = propagate[j];
        assign v[0][j] = valid[j];
        assign t[0][j] = result[j];
        for (genvar i = 0; i < R; i++) begin : gen_row
            logic signed [ACC-1:0] b_reg, d_reg;
            always_ff @(posedge clk) begin
                a[i][j+1] <= a[i][j];
                b_reg <= b[i][j];
                d_reg <= d[i][j];
                p[i+1][j] <= p[i][j];
                v[i+1][j] <= v[i][j] & ~rst;
                t[i+1][j] <= t[i][j] & ~rst;
            end
            gemmini_pe #(.W(W), .ACC(ACC), .PINGPONG(PINGPONG)) pe (
                .clk, .holds_weights,
                .a(a[i][j+1]), .b(b_reg), .d(d_reg), .propagate(p[i+1][j]), .valid(v[i+1][j]),
                .b_next(b[i+1][j]), .d_next(d[i+1][j])
            );
        end
        // The register below the last row.
        always_ff @(posedge clk) begin
            out_data[j] <= holds_weights ? b[R][j] : d[R][j];
            out_valid[j] <= t[R][j] & ~rst;
        end
    end
endmodule

// 0: ping-pong registers, 1: one accumulator; on the same edge ports.
module bench_mesh #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  holds_weights,
    input  logic signed [W-1:0]   left      [R],
    input  logic signed [ACC-1:0] top_b     [C],
    input  logic signed [ACC-1:0] top_d     [C],
    input  logic                  propagate [C],
    input  logic                  valid     [C],
    input  logic                  result    [C],
    output logic signed [ACC-1:0] out_data  [2][C],
    output logic                  out_valid [2][C]
);
    for (genvar n = 0; n < 2; n++) begin : gen_variant
        gemmini_mesh #(.R(R), .C(C), .W(W), .ACC(ACC), .PINGPONG(n == 0)) mesh (
            .clk, .rst, .holds_weights, .left, .top_b, .top_d, .propagate, .valid, .result,
            .out_data(out_data[n]), .out_valid(out_valid[n])
        );
    end
endmodule
