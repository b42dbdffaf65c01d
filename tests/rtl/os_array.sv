// Output-stationary array: PE(i, j) owns C[i, j]. Rows of A enter on the left and move right,
// columns of B enter at the top and move down, results leave at the bottom of every column.
//
//   DRAIN       1: a finished sum moves into a drain register, and the drain registers of a column
//               form a chain; 0: the accumulators themselves are the chain
//   ROW_GATED   1: row i takes i values from above and then stands still; 0: the whole column
//               shifts together
//   REGISTERED  1: the MAC reads the operand registers; 0: the operands that arrive at them

module os_pe #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit DRAIN = 1,
    parameter bit REGISTERED = 0
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   a_in,
    input  logic signed [W-1:0]   b_in,
    input  logic                  valid_in,
    input  logic                  first_in,
    input  logic                  last_in,
    input  logic                  shift_in,
    input  logic signed [ACC-1:0] above,
    output logic signed [W-1:0]   a_out,
    output logic signed [W-1:0]   b_out,
    output logic                  valid_out,
    output logic                  first_out,
    output logic                  last_out,
    output logic                  shift_out,
    output logic signed [ACC-1:0] below,
    output logic                  fresh  // ``below`` took a new value at the last clock edge
);
    logic signed [ACC-1:0] acc, sum;
    logic signed [W-1:0] x, y;
    logic mac, first, done;

    always_ff @(posedge clk) begin
        a_out <= a_in;
        b_out <= b_in;
        first_out <= first_in;
        last_out <= last_in;
        valid_out <= valid_in & ~rst;
        shift_out <= shift_in & ~rst;
        fresh <= (done | shift_in) & ~rst;
    end

    assign mac = REGISTERED ? valid_out : valid_in;
    assign first = REGISTERED ? first_out : first_in;
    assign done = mac & (REGISTERED ? last_out : last_in);
    assign x = REGISTERED ? a_out : a_in;
    assign y = REGISTERED ? b_out : b_in;
    assign sum = (first ? '0 : acc) + ACC'(x) * ACC'(y);

    if (DRAIN) begin : gen_drain
        logic signed [ACC-1:0] drain;
        always_ff @(posedge clk) begin
            if (mac) acc <= sum;
            if (done) drain <= sum;
            else if (shift_in) drain <= above;
        end
        assign below = drain;
    end else begin : gen_chain
        always_ff @(posedge clk) begin
            if (mac) acc <= sum;
            else if (shift_in) acc <= above;
        end
        assign below = acc;
    end
endmodule

module os_array #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter bit DRAIN = 1,
    parameter bit ROW_GATED = 1,
    parameter bit REGISTERED = 0
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   left      [R],
    input  logic                  valid     [R],
    input  logic                  first     [R],
    input  logic                  last      [R],
    input  logic signed [W-1:0]   top       [C],
    output logic signed [ACC-1:0] out_data  [C],
    output logic                  out_valid [C]
);
    logic signed [W-1:0] a[R][C+1];
    logic signed [W-1:0] b[R+1][C];
    logic v[R][C+1], f[R][C+1], l[R][C+1], s[R][C+1];
    logic signed [ACC-1:0] chain[R+1][C];
    logic fresh[R][C];

    // Left edge: a column starts to shift in the cycle after its bottom row has finished its sum.
    // Row i then shifts for a fixed number of cycles; the enable moves right along the row.
    logic finished, finished_late, start;
    always_ff @(posedge clk) begin
        finished <= valid[R-1] & last[R-1] & ~rst;
        finished_late <= finished & ~rst;
    end
    assign start = REGISTERED ? finished_late : finished;

    for (genvar i = 0; i < R; i++) begin : gen_edge
        localparam int Shifts = ROW_GATED ? i : R - 1;
        int to_go;
        always_ff @(posedge clk) begin
            if (rst) to_go <= 0;
            else if (start) to_go <= (Shifts > 0) ? Shifts - 1 : 0;
            else if (to_go > 0) to_go <= to_go - 1;
        end
        assign s[i][0] = start ? (Shifts > 0) : (to_go > 0);
        assign a[i][0] = left[i];
        assign v[i][0] = valid[i];
        assign f[i][0] = first[i];
        assign l[i][0] = last[i];
    end

    for (genvar j = 0; j < C; j++) begin : gen_column
        assign b[0][j] = top[j];
        assign chain[0][j] = '0;
        assign out_data[j] = chain[R][j];
        assign out_valid[j] = fresh[R-1][j];
        for (genvar i = 0; i < R; i++) begin : gen_row
            os_pe #(.W(W), .ACC(ACC), .DRAIN(DRAIN), .REGISTERED(REGISTERED)) pe (
                .clk, .rst,
                .a_in(a[i][j]), .b_in(b[i][j]), .above(chain[i][j]),
                .valid_in(v[i][j]), .first_in(f[i][j]), .last_in(l[i][j]), .shift_in(s[i][j]),
                .a_out(a[i][j+1]), .b_out(b[i+1][j]), .below(chain[i+1][j]),
                .valid_out(v[i][j+1]), .first_out(f[i][j+1]), .last_out(l[i][j+1]),
                .shift_out(s[i][j+1]), .fresh(fresh[i][j])
            );
        end
    end
endmodule

// Every variant of the array side by side on the same edge ports; the bench looks at one of them.
// Variant = 3 x (MAC reads the registers) + {0: no drain register, 1: row-gated, 2: whole column}.
module bench_os #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic signed [W-1:0]   left      [R],
    input  logic                  valid     [R],
    input  logic                  first     [R],
    input  logic                  last      [R],
    input  logic signed [W-1:0]   top       [C],
    output logic signed [ACC-1:0] out_data  [6][C],
    output logic                  out_valid [6][C]
);
    for (genvar n = 0; n < 6; n++) begin : gen_variant
        os_array #(
            .R(R), .C(C), .W(W), .ACC(ACC),
            .DRAIN(n % 3 != 0), .ROW_GATED(n % 3 != 2), .REGISTERED(n >= 3)
        ) array (
            .clk, .rst, .left, .valid, .first, .last, .top,
            .out_data(out_data[n]), .out_valid(out_valid[n])
        );
    end
endmodule
