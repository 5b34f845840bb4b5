"""``python -m gapo_kernels.doctor``: prints what ``gapo_kernels.doctor()`` returns."""

from gapo_kernels.diagnosis import doctor

if __name__ == "__main__":
    print(doctor())
