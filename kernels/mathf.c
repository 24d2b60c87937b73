/* Methods: argument reduction by fma with constants in two parts (Cody and Waite), then series. The float
 * polynomial of exp is a Chebyshev fit of (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2; the others are Taylor series
 * cut where the next term is below a tenth of an ulp. log uses log(1 + f) = f - (h - s (h + R)), s = f / (2 + f),
 * h = f^2 / 2, R = 2 (s^2 / 3 + s^4 / 5 + ...), which follows from log(1 + f) = 2 atanh(s). */
#include "kernels/mathf.h"

#include "kernels/bits.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* The steps of kernels/x86/avx512.h: exp_lanes(), one for one. */
float mathf_exp(float x)
{
    static const float magic = 0x1.8p23f; // adding it leaves a whole number in the low bits
    x = 89.0f < x ? 89.0f : x;            // beyond, infinity all the same; a NaN passes both
    x = -104.0f > x ? -104.0f : x;        // beyond, zero all the same
    float shifted = fmaf(x, 0x1.715476p+0f, magic);
    float n = shifted - magic;
    float r = fmaf(n, -0x1.62e43p-1f, x);
    r = fmaf(n, 0x1.05c61p-29f, r);
    float p = 0x1.6d117cp-10f;
    p = fmaf(p, r, 0x1.120be2p-7f);
    p = fmaf(p, r, 0x1.555518p-5f);
    p = fmaf(p, r, 0x1.5554dcp-3f);
    p = fmaf(p, r, 0.5f);
    p = fmaf(r * r, p, r) + 1.0f;
    // times 2^n in two steps, for 2^n itself may not be a float; only the second can round.
    uint32_t whole = bits_of(shifted) - bits_of(magic);
    uint32_t half = (whole >> 1) | (whole & 0x80000000u);
    return (p * float_of((half + 127) << 23)) * float_of((whole - half + 127) << 23);
}

float mathf_log(float x)
{
    return (float)mathd_log((double)x);
}

/* The steps of kernels/x86/avx512.h: erf_lanes(), one for one. 1 - erf(t) is exp(t p(t)); p is a weighted minimax fit of
 * log(erfc(t)) / t on [0, 4], and beyond erf is 1 to the last place. */
float mathf_erf(float x)
{
    float t = fabsf(x);
    t = 4.0f < t ? 4.0f : t; // a NaN passes
    float p = 0x1.0de7e4p-17f;
    p = fmaf(p, t, -0x1.bcb53cp-14f);
    p = fmaf(p, t, 0x1.344166p-11f);
    p = fmaf(p, t, -0x1.9d5692p-10f);
    p = fmaf(p, t, 0x1.ed1806p-15f);
    p = fmaf(p, t, 0x1.3ada8ap-6f);
    p = fmaf(p, t, -0x1.a510c8p-4f);
    p = fmaf(p, t, -0x1.45f28cp-1f);
    p = fmaf(p, t, -0x1.20dd78p+0f);
    return copysignf(1.0f - mathf_exp(p * t), x);
}

float mathf_tanh(float x)
{
    float e = mathf_exp(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

double mathd_exp(double x)
{
    static const double magic = 0x1.8p52;
    // 1 / k!, k from 13 down to 2
    static const double terms[] = {1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
                                   1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
                                   1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2};
    x = 710.0 < x ? 710.0 : x;
    x = -746.0 > x ? -746.0 : x;
    double shifted = fma(x, 0x1.71547652b82fep+0, magic);
    double n = shifted - magic;
    double r = fma(n, -0x1.62e42fefa39efp-1, x);
    r = fma(n, -0x1.abc9e3b39803fp-56, r);
    double p = terms[0];
    for (size_t i = 1; i < sizeof terms / sizeof *terms; i++)
        p = fma(p, r, terms[i]);
    p = fma(r * r, p, r) + 1.0;
    uint64_t whole = double_bits(shifted) - double_bits(magic);
    uint64_t half = (whole >> 1) | (whole & (UINT64_C(1) << 63));
    return (p * double_of((half + 1023) << 52)) * double_of((whole - half + 1023) << 52);
}

double mathd_log(double x)
{
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (x == INFINITY) return x;
    int exponent = 0;
    if (x < 0x1p-1022) { // a denormal: scaled, exactly, into the normal range
        x *= 0x1p54;
        exponent = -54;
    }
    // x = 2^exponent * m with m in [sqrt(1/2), sqrt(2))
    uint64_t bits = double_bits(x);
    uint64_t above = bits - UINT64_C(0x3FE6A09E667F3BCD);
    exponent += (int)(above >> 52);
    if (above >> 63) exponent -= 4096;
    double m = double_of((above & UINT64_C(0x000FFFFFFFFFFFFF)) + UINT64_C(0x3FE6A09E667F3BCD));

    double f = m - 1.0;
    double s = f / (2.0 + f);
    double z = s * s;
    double r = 2.0 / 25;
    for (int k = 23; k >= 3; k -= 2)
        r = fma(r, z, 2.0 / k);
    r *= z;
    double h = 0.5 * f * f;
    double n = exponent;
    double low = fma(s, h + r, n * 0x1.abc9e3b39803fp-56);
    return fma(n, 0x1.62e42fefa39efp-1, f - (h - low));
}

double mathd_pow(double base, double exponent)
{
    if (!(base > 0)) return NAN;
    double log_base = mathd_log(base);
    double product = exponent * log_base;
    double lost = fma(exponent, log_base, -product); // what the product's rounding dropped
    double power = mathd_exp(product);
    return power < INFINITY ? fma(power, lost, power) : power;
}

static double sine_series(double r)
{
    double z = r * r;
    double p = 1.0 / 355687428096000; // 17!
    p = fma(p, z, -1.0 / 1307674368000);
    p = fma(p, z, 1.0 / 6227020800);
    p = fma(p, z, -1.0 / 39916800);
    p = fma(p, z, 1.0 / 362880);
    p = fma(p, z, -1.0 / 5040);
    p = fma(p, z, 1.0 / 120);
    p = fma(p, z, -1.0 / 6);
    return fma(p * z, r, r);
}

static double cosine_series(double r)
{
    double z = r * r;
    double p = 1.0 / 20922789888000; // 16!
    p = fma(p, z, -1.0 / 87178291200);
    p = fma(p, z, 1.0 / 479001600);
    p = fma(p, z, -1.0 / 3628800);
    p = fma(p, z, 1.0 / 40320);
    p = fma(p, z, -1.0 / 720);
    p = fma(p, z, 1.0 / 24);
    p = fma(p, z, -0.5);
    return fma(p, z, 1.0);
}

void mathd_sincos(double angle, double *sine, double *cosine)
{
    static const double magic = 0x1.8p52;
    if (!(angle >= -0x1p30 && angle <= 0x1p30)) {
        *sine = NAN;
        *cosine = NAN;
        return;
    }
    // angle = n * pi/2 + r; the first fma is exact, for n * (pi/2)'s head and the angle share their last places.
    double shifted = fma(angle, 0x1.45f306dc9c883p-1, magic);
    double n = shifted - magic;
    double r = fma(n, -0x1.921fb54442d18p+0, angle);
    r = fma(n, -0x1.1a62633145c07p-54, r);
    double s = sine_series(r);
    double c = cosine_series(r);
    switch (double_bits(shifted) & 3) {
    case 0: *sine = s, *cosine = c; break;
    case 1: *sine = c, *cosine = -s; break;
    case 2: *sine = -s, *cosine = -c; break;
    default: *sine = -c, *cosine = s; break;
    }
}
