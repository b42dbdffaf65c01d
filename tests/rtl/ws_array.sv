// Weight-stationary array: PE(i, j) holds W[i, j], shifted in from the top, bottom row first. Rows
// of A enter on the left and move right, partial sums move down, the bottom register is the output.
//
//   SHADOW      1: weights load into a second register and are swapped in by the first operand;
//               0: they shift through the register in use
//   ROW_GATED   1: row i shifts only while its own weights come by; 0: the whole column shifts
//               together for all R cycles of a load
//   REGISTERED  1: the MAC reads the operand register; 0: the operand that arrives at it
//   LOAD_LATE   1: one more register on the weight ports, so that loads come a cycle later

module ws_pe #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit SHADOW = 1,
    parameter bit REGISTERED = 0
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   a_in,
    input  logic                  valid_in,
    input  logic                  first_in,
    input  logic                  load_in,
    input  logic signed [W-1:0]   w_above,
    input  logic signed [ACC-1:0] p_above,
    output logic signed [W-1:0]   a_out,
    output logic                  valid_out,
    output logic                  first_out,
    output logic                  load_out,
    output logic signed [W-1:0]   w_below,
    output logic signed [ACC-1:0] p_below,
    output logic                  fresh  // ``p_below`` holds the sum of a valid operand
);
    logic signed [W-1:0] x, weight, used;

    assign x = REGISTERED ? a_out : a_in;

    if (SHADOW) begin : gen_shadow
        logic signed [W-1:0] shadow;
        logic swap;
        assign swap = valid_in & first_in;
        always_ff @(posedge clk) begin
            if (load_in) shadow <= w_above;
            if (swap) weight <= shadow;
        end
        assign w_below = shadow;
        // An arriving first operand meets the new weight in the cycle in which it is swapped in.
        assign used = (!REGISTERED && swap) ? shadow : weight;
    end else begin : gen_single
        always_ff @(posedge clk) if (load_in) weight <= w_above;
        assign w_below = weight;
        assign used = weight;
    end

    always_ff @(posedge clk) begin
        a_out <= a_in;
        first_out <= first_in;
        valid_out <= valid_in & ~rst;
        load_out <= load_in & ~rst;
        fresh <= (REGISTERED ? valid_out : valid_in) & ~rst;
        p_below <= p_above + ACC'(x) * ACC'(used);
    end
endmodule

module ws_array #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit SHADOW = 1,
    parameter bit ROW_GATED = 1,
    parameter bit REGISTERED = 0,
    parameter bit LOAD_LATE = 0
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   left       [R],
    input  logic                  valid      [R],
    input  logic                  first      [R],
    input  logic signed [W-1:0]   top        [C],
    input  logic                  load_first,  // with the first weight on the port of column 0
    input  logic                  load_last,   // with the last one
    output logic signed [ACC-1:0] out_data   [C],
    output logic                  out_valid  [C]
);
    logic signed [W-1:0] a[R][C+1];
    logic signed [W-1:0] w[R+1][C];
    logic v[R][C+1], f[R][C+1], load[R][C+1];
    logic signed [ACC-1:0] p[R+1][C];
    logic fresh[R][C];

    logic begins, ends;
    if (LOAD_LATE) begin : gen_late
        always_ff @(posedge clk) begin
            begins <= load_first & ~rst;
            ends <= load_last & ~rst;
        end
    end else begin : gen_direct
        assign begins = load_first;
        assign ends = load_last;
    end

    // Left edge: the load enable of each row, from its first weight to the end of the load. The
    // enable moves right along the row. A row-gated start moves down one row per cycle.
    logic starts[R], loading[R];
    for (genvar i = 0; i < R; i++) begin : gen_edge
        if (i == 0 || !ROW_GATED) begin : gen_now
            assign starts[i] = begins;
        end else begin : gen_down
            always_ff @(posedge clk) starts[i] <= starts[i-1] & ~rst;
        end
        always_ff @(posedge clk) loading[i] <= load[i][0] & ~ends & ~rst;
        assign load[i][0] = starts[i] | loading[i];
        assign a[i][0] = left[i];
        assign v[i][0] = valid[i];
        assign f[i][0] = first[i];
    end

    for (genvar j = 0; j < C; j++) begin : gen_column
        if (LOAD_LATE) begin : gen_late
            always_ff @(posedge clk) w[0][j] <= top[j];
        end else begin : gen_direct
            assign w[0][j] = top[j];
        end
        assign p[0][j] = '0;
        assign out_data[j] = p[R][j];
        assign out_valid[j] = fresh[R-1][j];
        for (genvar i = 0; i < R; i++) begin : gen_row
            ws_pe #(.W(W), .ACC(ACC), .SHADOW(SHADOW), .REGISTERED(REGISTERED)) pe (
                .clk, .rst,
                .a_in(a[i][j]), .w_above(w[i][j]), .p_above(p[i][j]),
                .valid_in(v[i][j]), .first_in(f[i][j]), .load_in(load[i][j]),
                .a_out(a[i][j+1]), .w_below(w[i+1][j]), .p_below(p[i+1][j]),
                .valid_out(v[i][j+1]), .first_out(f[i][j+1]), .load_out(load[i][j+1]),
                .fresh(fresh[i][j])
            );
        end
    end
endmodule

// Every variant of the array side by side on the same edge ports; the bench looks at one of them.
// Variant = 3 x (MAC reads the register) + {0: single register, 1: shadow, row-gated, 2: shadow,
// whole column}; 6: single register, registered operands, weights registered at the edge as well.
module bench_ws #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   left       [R],
    input  logic                  valid      [R],
    input  logic                  first      [R],
    input  logic signed [W-1:0]   top        [C],
    input  logic                  load_first,
    input  logic                  load_last,
    output logic signed [ACC-1:0] out_data   [7][C],
    output logic                  out_valid  [7][C]
);
    for (genvar n = 0; n < 7; n++) begin : gen_variant
        ws_array #(
            .R(R), .C(C), .W(W), .ACC(ACC),
            .SHADOW(n % 3 != 0), .ROW_GATED(n % 3 != 2), .REGISTERED(n >= 3), .LOAD_LATE(n == 6)
        ) array (
            .clk, .rst, .left, .valid, .first, .top, .load_first, .load_last,
            .out_data(out_data[n]), .out_valid(out_valid[n])
        );
    end
endmodule
