"""The engine's kernels as the generator sees them: what each can do, its weights' layout, its scratch memory."""
