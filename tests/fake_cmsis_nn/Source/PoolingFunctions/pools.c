/* No pooling here. */
typedef int fake_nothing;
