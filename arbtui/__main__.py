from arbtui.cli import main

if __name__ == "__main__":
    main()
