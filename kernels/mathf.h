/* kernels/mathf.h -- the transcendental functions of the house.
 *
 * libm's differ between versions and between the code paths it picks at run time; ours are made of + - * /
 * fma and exact bit operations alone, so they give the same bits on every machine and every rung (the vector
 * forms in kernels/x86 take the same steps in the same order).
 *
 *      function        arguments                      error against the true value
 *      mathf_exp       any float                      <= 1.5 ulp (denormal results included)
 *      mathf_log       any float > 0                  <= 1 ulp
 *      mathf_erf       any float                      <= 1.2e-7 absolute
 *      mathf_tanh      any float                      <= 1.2e-7 absolute
 *      mathd_exp       any double                     <= 1.5 ulp
 *      mathd_log       any double > 0                 <= 1 ulp
 *      mathd_pow       base > 0, |y log base| <= 700  <= 1e-13 relative
 *      mathd_sincos    |angle| <= 2^30                <= 1e-15 absolute
 *
 * Special values are libm's: exp(-inf) = 0, exp(inf) = inf, log(0) = -inf, log(< 0) = NaN, erf and
 * tanh of +-inf = +-1, NaN gives NaN.
 * The bounds are measured by tests/unit/kernels/mathf_test.c. Thread: pure functions. */
#ifndef KERNELS_MATHF_H
#define KERNELS_MATHF_H

float mathf_exp(float x);
float mathf_log(float x);
float mathf_erf(float x);
float mathf_tanh(float x);

double mathd_exp(double x);
double mathd_log(double x);
/* base > 0 (anything else gives NaN). */
double mathd_pow(double base, double exponent);
/* Radians. Beyond 2^30 or for a non-finite angle both results are NaN. */
void mathd_sincos(double angle, double *sine, double *cosine);

#endif
