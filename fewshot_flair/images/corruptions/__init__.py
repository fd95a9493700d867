"""What goes wrong when an eye is photographed, in five strengths each: to test on, not to train on."""
